"""Tools for an operator who deploys Beacon from a checkout; nothing here runs in AWS."""
