"""Tools for whoever deploys Beacon from a checkout; nothing here runs in AWS."""
