"""The file that tells scripts that a lab is up, and where everything of it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

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
            self._new.touch()
            self._new.unlink()
        except OSError as error:
            raise LabError(f"the ready file {self._path} cannot be written: {error.strerror}") from error

    def write(self, ready: Mapping[str, object]) -> None:
        """Put the file there at once: whoever waits for it must never read half of it."""
        self._new.write_text(json.dumps(ready, indent=2) + "\n", encoding="utf-8")
        self._new.replace(self._path)

    def remove(self) -> None:
        """Take it away; calling it again is harmless."""
        self._new.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)
