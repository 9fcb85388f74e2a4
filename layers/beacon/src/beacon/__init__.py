"""Health checks, decisions and endpoint look-up for multi-Region Aurora DSQL."""

__version__ = "0.1.0"
