"""How long a drain lasts, as an operator writes it: `90s`, `30m`, `1h30m`, `until-released`. Pure."""

from __future__ import annotations

import re

from beacon_cli.errors import WrongUseError

__all__ = ["UNTIL_RELEASED", "duration_s"]

#: The word for a drain without an end of its own.
UNTIL_RELEASED = "until-released"

_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)
_LEAST_S, _MOST_S = 10, 30 * 86400


def duration_s(text: str) -> float | None:
    """``text`` in seconds; ``None`` for :data:`UNTIL_RELEASED`.

    Raises :class:`WrongUseError` for what is no duration, is below 10 s or above 30 days.
    """
    given = text.strip().lower()
    if given == UNTIL_RELEASED:
        return None
    match = _PARTS.fullmatch(given)
    if match is None or not given:
        hint = f" Did you mean {given}m?" if given.isascii() and given.isdigit() else ""
        raise WrongUseError(
            f"--for {text!r} is no duration: write 90s, 30m, 1h30m, 2d or {UNTIL_RELEASED}.{hint}"
        )
    found = sum(int(number or 0) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True))
    if not _LEAST_S <= found <= _MOST_S:
        raise WrongUseError(
            f"--for {text!r} is out of range: a drain lasts from {_LEAST_S}s to 30d, or {UNTIL_RELEASED}"
        )
    return float(found)
