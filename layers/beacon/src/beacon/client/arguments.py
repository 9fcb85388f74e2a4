"""What is wrong with an argument that a caller gave: one sentence each, which names the right way. Pure.

A wrong type is found where it is given, and not by a statement that fails an hour later. Each function
returns its problems; :func:`require_none` raises all of them at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from beacon.names import shown

__all__ = [
    "choices",
    "closest",
    "flag",
    "host_example",
    "kind_of",
    "listed",
    "number",
    "require_none",
    "text",
]


def require_none(problems: Iterable[str]) -> None:
    """Raise ``ValueError`` with every problem, unless there is none."""
    if found := "; ".join(problems):
        raise ValueError(found)


def kind_of(value: object) -> str:
    """What a caller would call ``value``: text, or the name of its type."""
    return "text" if isinstance(value, str) else type(value).__name__


def number(
    name: str, value: object, least: float, most: float, *, whole: bool = False, or_none: bool = False
) -> list[str]:
    """Problems of a number from ``least`` to ``most``, ``whole`` without a fraction, ``or_none`` or None."""
    wanted = "a whole number" if whole else "a number"
    if value is None and or_none:
        return []
    if isinstance(value, str) and _is_number(value):
        return [f"{name} must be {wanted}, not text: write {name}={value.strip()}"]
    allowed = f"{least:g}-{most:g}{' or None' if or_none else ''}"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return [f"{name} must be {wanted}, {allowed}, not {_shown(value)}"]
    return [] if least <= value <= most else [f"{name} must be {allowed}, not {value}"]


def text(name: str, value: object, example: str = "") -> list[str]:
    """Problems of a text that may not be empty."""
    if isinstance(value, str) and value:
        return []
    such = f", such as {example!r}" if example else ""
    return [f"{name} must be text{such}, not {'empty' if value == '' else kind_of(value)}"]


def flag(name: str, value: object) -> list[str]:
    """Problems of True or False."""
    return [] if isinstance(value, bool) else [f"{name} must be True or False, not {_shown(value)}"]


def choices(name: str, value: object, example: str) -> list[str]:
    """Problems of a list of texts; a single text would be taken for its letters."""
    if isinstance(value, str):
        return [f"{name} must be a list, not one text: write {example.format(host_example(value))}"]
    if not isinstance(value, Iterable):
        return [f"{name} must be a list of text, not {kind_of(value)}"]
    return [f"{name} must hold text, not {kind_of(each)}" for each in value if not isinstance(each, str)]


def host_example(given: str) -> str:
    """``given`` as a corrected call writes it; HOST for a text that may hold more than a host name."""
    return repr(given) if given and shown(given) == repr(given) else "'HOST'"


def listed(value: Collection[str]) -> Collection[str]:
    """The same, safe to go through twice: a generator would be empty after it was checked."""
    return value if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)


def closest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like ``name``, as a question; empty when none is."""
    import difflib  # noqa: PLC0415 - only a mistake needs it

    found = difflib.get_close_matches(name, sorted(known), n=1)
    return f": did you mean {found[0]}?" if found else ""


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _shown(value: object) -> str:
    """A number as it is, of anything else the kind alone: a text may hold anything."""
    return str(value) if isinstance(value, int | float) else kind_of(value)
