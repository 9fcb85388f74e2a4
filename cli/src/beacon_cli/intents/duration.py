"""A duration as an operator writes it: `90s`, `30m`, `1h30m`; for a drain also `until-released`. Pure."""

from __future__ import annotations

import re

from beacon_cli.errors import WrongUseError

__all__ = ["UNTIL_RELEASED", "lasting_s", "seconds_of"]

#: The word for a drain without an end of its own.
UNTIL_RELEASED = "until-released"

_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
_SECONDS = (86400, 3600, 60, 1)
_LEAST_S, _MOST_S = 10, 30 * 86400


def lasting_s(text: str) -> float | None:
    """How long a drain lasts, in seconds; ``None`` for :data:`UNTIL_RELEASED`.

    Raises :class:`WrongUseError` as :func:`seconds_of` does.
    """
    if text.strip().lower() == UNTIL_RELEASED:
        return None
    return seconds_of(text, "--for", f", or {UNTIL_RELEASED}")


def seconds_of(text: str, option: str, more: str = "") -> float:
    """``text`` in seconds; ``option`` is where it was given, and ``more`` what else may be written there.

    Raises :class:`WrongUseError` for what is no duration, is below 10 s or above 30 days.
    """
    given = text.strip().lower()
    match = _PARTS.fullmatch(given)
    if match is None or not given:
        hint = f" Did you mean {given}m?" if given.isascii() and given.isdigit() else ""
        raise WrongUseError(f"{option} {text!r} is no duration: write 90s, 30m, 1h30m or 2d{more}.{hint}")
    found = sum(int(number or 0) * unit for number, unit in zip(match.groups(), _SECONDS, strict=True))
    if not _LEAST_S <= found <= _MOST_S:
        raise WrongUseError(f"{option} {text!r} is out of range: write 10s to 30d{more}")
    return float(found)
