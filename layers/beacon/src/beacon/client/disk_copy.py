"""The last good answers on disk, so that a process that starts while SSM is down knows where to connect.

The copy is one small JSON file, from the name of a source to its text, and is replaced in one step. It is as
safe as its directory: a program that can write there can choose among the hosts that a reader believes, and
no more. A text from the file passes the same rules as one that was fetched, and TLS is verified in full. A
file that cannot be read or written is ignored, since a client can connect without it.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from pathlib import Path

__all__ = ["DiskCopy"]

_MOST_BYTES = 64 * 1024


class DiskCopy:
    """The copy in the file ``path``; several processes may share it, the last one to write counts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._texts = self._load()

    def read(self, name: str) -> str | None:
        """The text that was kept for the source ``name``."""
        return self._texts.get(name)

    def write(self, name: str, text: str) -> None:
        """Keep ``text``; nothing happens where the file cannot be written, or holds it already."""
        with self._lock:
            if self._texts.get(name) == text:
                return
            # Another process may have kept another source's text in the same file.
            texts = self._load() | {name: text}
            with contextlib.suppress(OSError):
                self._replace(json.dumps(texts))
            self._texts = texts

    def _load(self) -> dict[str, str]:
        try:
            # To read a pipe or a device would never end.
            if not self._path.is_file() or self._path.stat().st_size > _MOST_BYTES:
                return {}
            value = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(value, dict):
            return {}
        return {name: text for name, text in value.items() if isinstance(text, str)}

    def _replace(self, content: str) -> None:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)
            Path(temporary).replace(self._path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
