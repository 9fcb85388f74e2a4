"""From a fact to its value, or to the problem that says why there is none. Pure."""

from __future__ import annotations

from typing import TypeVar

from beacon_cli.doctor.facts import Absent
from beacon_cli.doctor.result import Problem, skipped, unknown
from beacon_cli.situation.model import Fact, Unknown

__all__ = ["unread"]

T = TypeVar("T")


def unread(fact: Fact[T], region: str = "") -> list[Problem]:
    """The problem of a fact that has no value; empty for a known one."""
    if isinstance(fact, Absent):
        return [skipped(fact.why, region)]
    return [unknown(fact.why, region=region)] if isinstance(fact, Unknown) else []
