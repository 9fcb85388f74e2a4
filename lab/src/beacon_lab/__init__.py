"""Beacon on one machine, with real parts."""
