"""The operator's command of Beacon: what it reads, what it says, and the commands themselves."""

__version__ = "0.1.0"
