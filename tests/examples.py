"""How many examples a test tries: all of them in `make test`, a fifth of them in `make check` (`--quick`)."""

from __future__ import annotations

__all__ = ["LONG", "examples", "use"]

#: Marks a test that needs all its examples: `--quick` leaves it out.
LONG = "long"
_SHARE = 5
_quick = False


def use(*, quick: bool) -> None:
    """Say once, before the tests are collected, how many to try."""
    global _quick  # noqa: PLW0603 - decorators read it while the modules are imported
    _quick = quick


def examples(most: int) -> int:
    """``most``, or the share of it that a quick run tries."""
    return most // _SHARE if _quick else most
