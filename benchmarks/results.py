"""What a benchmark reports, and where the figures are kept."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = ["RESULTS", "Result", "environment", "merge", "table"]

RESULTS = Path(__file__).parent / "results.json"


def environment() -> dict[str, object]:
    """What figures depend on, apart from the code."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "bytecode": "not written" if os.environ.get("PYTHONDONTWRITEBYTECODE") else "written",
    }


@dataclass(frozen=True, slots=True)
class Result:
    """One figure. ``goal`` is the most it may be (``None``: none is set); ``more`` holds its context."""

    name: str
    value: float
    unit: str
    repetitions: int
    goal: float | None = None
    more: dict[str, object] = field(default_factory=dict)

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met."""
        return None if self.goal is None else self.value <= self.goal

    @classmethod
    def median(
        cls, name: str, values: Sequence[float], unit: str, *, goal: float | None = None, **more: object
    ) -> Result:
        """The median of ``values``, with its range."""
        spread: dict[str, object] = {"least": round(min(values), 3), "most": round(max(values), 3)}
        return cls(name, round(statistics.median(values), 3), unit, len(values), goal, spread | more)


def merge(results: Sequence[Result]) -> None:
    """Write ``results`` into the file; they replace earlier ones of the same names."""
    kept: dict[str, object] = {}
    if RESULTS.is_file():
        kept = {row["name"]: row for row in json.loads(RESULTS.read_text(encoding="utf-8"))}
    for result in results:
        row = asdict(result)
        more = row.pop("more")
        kept[result.name] = {**row, "holds": result.holds, **more, "environment": environment()}
    rows = [kept[name] for name in sorted(kept)]
    RESULTS.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def table(results: Sequence[Result]) -> str:
    """The results as lines of text."""
    lines = [f"{'name':<34}{'value':>10} {'unit':<6}{'goal':>8}  {'holds':<7}{'n':>4}  context"]
    for result in results:
        goal = "-" if result.goal is None else f"{result.goal:g}"
        holds = {None: "-", True: "yes", False: "NO"}[result.holds]
        context = ", ".join(f"{name} {value}" for name, value in result.more.items())
        lines.append(
            f"{result.name:<34}{result.value:>10g} {result.unit:<6}{goal:>8}  {holds:<7}"
            f"{result.repetitions:>4}  {context}"
        )
    return "\n".join(lines)
