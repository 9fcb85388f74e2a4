"""What the lab's user can mend: one sentence that says what happened, where, and what to do."""

__all__ = ["LabError"]


class LabError(Exception):
    """The lab cannot do what was asked; the command line prints the sentence and exits with 2."""
