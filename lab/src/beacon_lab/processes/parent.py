"""End with the process that started us."""

from __future__ import annotations

import ctypes
import os
import signal

from beacon_lab.errors import LabError

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Have the kernel send SIGTERM to this process when its parent dies, however that happens (prctl(2)).

    A demo takes two minutes; without this it would continue unseen after ``make`` was killed.
    """
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise LabError(f"the kernel refuses PR_SET_PDEATHSIG: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        # It died between the two lines.
        os.kill(os.getpid(), signal.SIGTERM)
