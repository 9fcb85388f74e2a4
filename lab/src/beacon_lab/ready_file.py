"""The file that tells scripts that a lab is up, and where everything of it is.

It holds the lab's secret key, so only its owner can read it, from its first moment on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from beacon_lab.errors import LabError

__all__ = ["ReadyFile"]


class ReadyFile:
    """The file at ``path``: there, and whole, exactly as long as the lab is up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._new = path.with_name(f".{path.name}.new")

    def prepare(self) -> None:
        """Take away what a dead lab may have left; raise :class:`LabError` where nothing can be written."""
        try:
            self._path.unlink(missing_ok=True)
            self._new.unlink(missing_ok=True)
            self._create().close()
            self._new.unlink()
        except OSError as error:
            raise LabError(f"the ready file {self._path} cannot be written: {error.strerror}") from error

    def write(self, ready: Mapping[str, object]) -> None:
        """Put the file there at once: whoever waits for it must never read half of it."""
        self._new.unlink(missing_ok=True)
        with self._create() as new:
            new.write(json.dumps(ready, indent=2) + "\n")
        self._new.replace(self._path)

    def _create(self) -> TextIO:
        """Create the file, which must not be there: one that is there may be open to others."""
        descriptor = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        return os.fdopen(descriptor, "w", encoding="utf-8")

    def remove(self) -> None:
        """Take it away; calling it again is harmless."""
        self._new.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
