"""What is mutated, and which survivors are explained: the two tables of this tool, read strictly."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tools.mutants.mutations import Mutation
from tools.mutants.trial import Subject

__all__ = ["Explained", "read_explained", "read_subjects"]


@dataclass(frozen=True)
class Explained:
    """Survivors that are accepted: by module, line and change (``None``: every change of the line)."""

    module: str
    line: str
    change: str | None
    why: str

    def covers(self, module: str, line: str, mutation: Mutation) -> bool:
        """Whether this explains ``mutation`` of the ``line`` of ``module``."""
        same = self.module == module and self.line == line.strip()
        return same and self.change in (None, mutation.change)


def read_subjects(path: Path, root: Path) -> list[Subject]:
    """The modules and their tests; raises ``ValueError`` for a file that does not exist."""
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    subjects = []
    for name, row in rows["modules"].items():
        source = root / row["in"] / f"{name.replace('.', '/')}.py"
        tests = tuple(row["tests"])
        for needed in (source, *(root / test for test in tests)):
            if not needed.is_file():
                raise ValueError(f"{path.name}: {name}: no file {needed.relative_to(root)}")
        subjects.append(Subject(name, source, tests))
    return subjects


def read_explained(path: Path) -> list[Explained]:
    """The explanations."""
    rows = tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", [])
    return [
        Explained(row["module"], line, change, row["why"])
        for row in rows
        for line in ([row["line"]] if "line" in row else row["lines"])
        for change in (row.get("changes") or [None])
    ]
