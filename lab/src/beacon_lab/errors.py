"""What ends a lab early, as one sentence: what its user can repair, or what is broken in the lab itself."""

__all__ = ["LabBrokenError", "LabError"]


class LabError(Exception):
    """The lab cannot do what was asked; the command line prints the sentence and exits with 2."""


class LabBrokenError(Exception):
    """A part of the lab itself has a defect; the command line prints the sentence and exits with 3."""
