"""What functions wrote to their log: the lines that are new since the last look, and the JSON among them."""

import json
from pathlib import Path

__all__ = ["LambdaLog"]


class LambdaLog:
    """Reads a growing log file from where the last reading ended; lines still being written wait.

    Structured log entries and CloudWatch metrics (EMF, they have the member ``_aws``) are one JSON object a
    line; START, END, REPORT and whatever a function prints are plain text.
    """

    def __init__(self, path: Path) -> None:
        """Start at the file's beginning; the file need not exist yet."""
        self.path = path
        self._offset = 0

    def new_lines(self) -> list[str]:
        """The complete lines written since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode("utf-8", errors="replace").splitlines()

    def new_records(self) -> list[dict[str, object]]:
        """The JSON objects among the new lines; the other new lines are passed over."""
        return [record for line in self.new_lines() if (record := as_record(line)) is not None]


def as_record(line: str) -> dict[str, object] | None:
    """The JSON object that a log line is, or None."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
