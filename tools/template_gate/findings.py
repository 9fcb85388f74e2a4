"""Findings of the scanners, and the list of those that are accepted with a reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

__all__ = ["Accepted", "Finding", "judge", "read_accepted"]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One rule that one resource of one template does not meet. `resource` is its logical id, or empty."""

    rule: str
    resource: str
    template: str
    message: str

    def __str__(self) -> str:
        return f"{self.template}: {self.resource or '(whole template)'}: {self.rule}: {self.message}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """An exception: the rule, the logical ids it covers (`*` stands for any rest), and why."""

    rule: str
    resources: tuple[str, ...]
    reason: str

    def __post_init__(self) -> None:
        if len(self.reason.split()) < 5 or not self.resources:
            raise ValueError(f"the exception for {self.rule} needs resources and a reason")

    def covers(self, finding: Finding) -> bool:
        """Whether this exception is about that finding."""
        return finding.rule == self.rule and any(
            fnmatchcase(finding.resource, pattern) for pattern in self.resources
        )


def read_accepted(path: Path) -> list[Accepted]:
    """The exceptions in a TOML file. Raises ValueError for a missing reason and for a rule listed twice."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["exception"]
    accepted = [Accepted(entry["rule"], tuple(entry["resources"]), entry["reason"]) for entry in entries]
    rules = [entry.rule for entry in accepted]
    if len(rules) != len(set(rules)):
        raise ValueError(
            "a rule is listed twice: " + ", ".join(sorted({r for r in rules if rules.count(r) > 1}))
        )
    return accepted


def judge(findings: Iterable[Finding], accepted: Sequence[Accepted]) -> list[str]:
    """What is wrong: each finding that nothing covers, and each exception that no finding needs any more."""
    found = sorted(set(findings))
    wrong = [str(finding) for finding in found if not any(entry.covers(finding) for entry in accepted)]
    for entry in accepted:
        about = [finding for finding in found if finding.rule == entry.rule]
        wrong.extend(
            f"exceptions.toml: {entry.rule} on {pattern} is not needed any more"
            for pattern in entry.resources
            if not any(fnmatchcase(finding.resource, pattern) for finding in about)
        )
    return wrong
