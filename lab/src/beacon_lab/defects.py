"""Defects of the lab's own code while it is up: the first one ends the lab, or it would look like a Region's
failure."""

from __future__ import annotations

import asyncio
import errno
import logging
import traceback
from pathlib import Path
from typing import Any

from beacon_lab.errors import LabBrokenError

__all__ = ["Defects"]

_log = logging.getLogger(__name__)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class Defects:
    """Keeps the first defect of a lab; ``stop`` is the event that ends it."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._first: LabBrokenError | None = None

    def report(self, part: str, error: BaseException) -> None:
        """Note that ``part`` of the lab broke, and end the lab. Only the first one's traceback is logged."""
        if self._first is None:
            _log.error("%s broke", part, exc_info=error)
            self._first = LabBrokenError(_sentence(part, error))
            self._stop.set()

    def watch(self, part: str, task: asyncio.Task[Any]) -> None:
        """Report what ends a background task, unless it is cancelled."""

        def ended(done: asyncio.Task[Any]) -> None:
            if not done.cancelled() and (error := done.exception()) is not None:
                self.report(part, error)

        task.add_done_callback(ended)

    def raise_first(self) -> None:
        """Raise the first defect as :class:`LabBrokenError`; none: do nothing."""
        if self._first is not None:
            raise self._first


def _sentence(part: str, error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS:
        return (
            f"{part} found no free file descriptor: raise the limit with `ulimit -n 4096` in the shell that"
            " starts the lab"
        )
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return (
        f"{part} broke ({type(error).__name__}{place}): this is a defect of the lab and says nothing about a"
        " Region, so the lab has ended; please report it with the traceback above"
    )
