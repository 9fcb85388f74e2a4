"""What an operator reads of a drill: its plan, its progress and its end."""

from __future__ import annotations

from beacon_cli.drill.consumed import gap_limit_s
from beacon_cli.drill.expected import Phase
from beacon_cli.drill.plan import Plan
from beacon_cli.drill.report import Outcome, Report, outcome_of, reasons, said_of, seen_in, table
from beacon_cli.drill.verdict import Result
from beacon_cli.situation.finding import span

__all__ = ["end_lines", "plan_json", "plan_lines", "progress_line", "refusal"]

Json = dict[str, object]
_NETS = {
    "drain": "the drain ends by itself",
    "fis": "the experiment ends by itself",
    "lab": "the lab ends the fault by itself",
}


def plan_lines(plan: Plan, actor: str) -> list[str]:
    """What will be done, what is predicted, and what holds if this command is killed."""
    lines = [f"{plan.situation.service}: drill of {plan.region} by {plan.kind.name}, as {actor}"]
    if plan.objections:
        return [*lines, *(f"!  {one}." for one in plan.objections)]
    lines.append(f"-  Ready: every Region serves, no drain is in force, no alarm rings; {_others(plan)}.")
    for phase, begins in ((Phase.OUT, "After the break"), (Phase.BACK, "After the repair")):
        parts = [f"{one.track} in {seen_in(one.predicted)}" for one in plan.expected if one.phase is phase]
        lines.append(f"-  {begins}: {'; '.join(parts)}.")
    if plan.no_consumer:
        lines.append(f"?  No rows are written meanwhile: {plan.no_consumer}.")
    else:
        lines.append(f"-  A consumer writes rows meanwhile; its longest gap is up to {gap_limit_s():.1f} s.")
    net = _NETS[plan.kind.how]
    lines.append(f"-  If this command is killed, {net}, at the latest {span(plan.limit_s)} after the break.")
    return lines


def _others(plan: Plan) -> str:
    others = [one.region for one in plan.situation.regions if one.region != plan.region]
    return f"{', '.join(others)} {'serves' if len(others) == 1 else 'serve'} meanwhile"


def plan_json(plan: Plan) -> Json:
    """The plan, or the refusal, as JSON."""
    return {
        "schema": 1,
        "service": plan.situation.service,
        "region": plan.region,
        "by": plan.kind.name,
        "outcome": "refused" if plan.objections else "planned",
        "objections": list(plan.objections),
        "limit_s": plan.limit_s,
        "no_consumer": plan.no_consumer or None,
        "predicted": [
            {
                "seen_in": one.track,
                "phase": one.phase.value,
                "earliest_s": round(one.predicted.earliest_s, 2),
                "expected_s": round(one.predicted.expected_s, 2),
                "latest_s": round(one.predicted.latest_s, 2),
            }
            for one in plan.expected
        ],
    }


def refusal(plan: Plan) -> str:
    """The sentence of a drill that may not begin."""
    more = f" and {len(plan.objections) - 1} more" if len(plan.objections) > 1 else ""
    return f"not ready for a drill of {plan.region}: {plan.objections[0]}{more}. Nothing has changed"


def progress_line(result: Result) -> str:
    """One transition that has just been seen."""
    return f"{'-' if result.verdict.passes else '!'}  {said_of(result)}."


def end_lines(report: Report) -> list[str]:
    """The figures and what they come to."""
    lines = ["", *table(report.results)]
    one = report.consumer
    if one is None:
        lines.append(
            f"consumer: none, because {report.no_consumer}" if report.no_consumer else "consumer: none"
        )
    else:
        found = "an unknown number" if one.found is None else str(one.found)
        lines.append(
            f"consumer: {one.acknowledged} rows acknowledged, {found} of them found again; longest gap"
            f" {one.longest_gap.length_s:.1f} s (predicted up to {one.gap_limit_s:.1f} s)"
        )
    lines.append(f"repair: {report.repair}")
    lines += [f"!  {reason}." for reason in reasons(report)]
    outcome = outcome_of(report)
    if outcome is Outcome.PASSED:
        lines.append("passed: each transition was seen, in time and by its own cause")
    return lines
