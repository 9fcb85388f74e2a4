"""Chooses the counts to decide by: years of lost probes, bursts, grey failures and outages, simulated.

Each policy is simulated for 10,000 endpoint-days or more with the real decision (`simulation/engine.py` says
how). The defaults are chosen by these figures; docs/adr/0007-defaults.md says why, and this module draws its
chart. It takes a few minutes on two cores. Seeds are fixed, so the figures change only with the code.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from results import Result
from simulation.chart import Axis, Limit, Point, Series, draw
from simulation.closed_form import YEAR_S, false_ejections_per_year
from simulation.engine import Setup, Tally
from simulation.partial import Case, Rate, Seen
from simulation.studies import DAYS, FALLS, PERIODS_S, RISES, Job, RankJob, run_all, run_partial, run_ranks
from simulation.weather import Kind

from beacon.model import Policy

_CHART = Path(__file__).parents[1] / "docs" / "adr" / "0007-defaults.svg"
#: Ranked by priority: latencies do not decide which endpoint is in, and have their own study.
_POLICY = replace(Policy(), ranking="priority")
_DEFAULT = Setup(_POLICY, every_s=60.0)
#: Sixteen checkers, each every ten seconds.
_EDGE = replace(_DEFAULT, polls_per_s=1.6)
_LOSSES = (0.01, 0.05)
_HOLDS_S = (0.0, 90.0, 300.0, 600.0)
#: Partial failures: the shares of statements that fail, the number of checkers, and their interval.
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
_WATCHES = ((6, 10.0), (16, 10.0), (6, 30.0), (16, 30.0))
_RUNS = 40
_COLOURS = {60: "#1b6ca8", 30: "#2a9d55", 20: "#c77f00", 10: "#b3261e"}

Say = Callable[[str], None]


def run(say: Say) -> list[Result]:
    """All figures; draws the chart."""
    rates = _rates(say)
    ejects = _times_to_eject(say)
    goals = _goals(say)
    _CHART.write_text(_chart(rates, ejects, [goal.value for goal in goals]), encoding="utf-8")
    say(f"drew {_CHART.name}")
    return [*goals, *_default_times(ejects), *_bursts(say), *_returns(say), *_ranks(say), *_partial(say)]


def _rates(say: Say) -> dict[tuple[float, int, int], float]:
    """False ejections per endpoint-year by loss, period and fall, without the edge trigger."""
    keys = [(loss, every, fall) for loss in _LOSSES for every in PERIODS_S for fall in FALLS]
    # Which endpoint is preferred does not matter here, and rounds of waiting would be made one by one. At a
    # fall
    # of two, ejections are so many that a fifth of the time shows as much.
    jobs = [
        Job(
            replace(_DEFAULT, every_s=float(every)),
            loss,
            events=2000,
            days=DAYS / 5 if fall == 2 else DAYS,
            seed=seed,
        ).with_policy(fall=fall, failback_hold_s=0.0)
        for seed, (loss, every, fall) in enumerate(keys)
    ]
    tallies = run_all(jobs)
    rates = {key: tally.per_year(tally.ejections[None]) for key, tally in zip(keys, tallies, strict=True)}
    for loss in _LOSSES:
        say(f"false ejections per endpoint-year at {loss:.0%} loss; fall {FALLS[0]} to {FALLS[-1]}")
        for every in PERIODS_S:
            row = " ".join(f"{rates[loss, every, fall]:10.3g}" for fall in FALLS)
            say(f"  every {every} s {row}")
    return rates


def _times_to_eject(say: Say) -> dict[tuple[bool, int], list[float]]:
    """Seconds from an outage's first probe until its endpoint is out, by (silent or refused, fall)."""
    keys = [(silent, fall) for silent in (True, False) for fall in FALLS]
    jobs = [
        Job(replace(_DEFAULT, silent=silent), 0.01, outages_per_day=0.2).with_policy(fall=fall)
        for silent, fall in keys
    ]
    found = {key: tally.eject_s for key, tally in zip(keys, run_all(jobs), strict=True)}
    for silent in (True, False):
        row = " ".join(f"{statistics.median(found[silent, fall]):6.2f}" for fall in FALLS)
        say(f"median time to eject, {'silent' if silent else 'refused'}: {row} s")
    return found


def _goals(say: Say) -> list[Result]:
    """The defaults as deployed, with the edge trigger, and the same figures by formula where there is one."""
    results = []
    for loss, goal in zip(_LOSSES, (0.1, 1.0), strict=True):
        jobs = [Job(_EDGE, loss, events=2000), Job(_DEFAULT, loss, events=2000)]
        with_edge, without = run_all(jobs)
        rate, plain = (tally.per_year(tally.ejections[None]) for tally in (with_edge, without))
        policy = _POLICY
        rounds_per_s = 1 / 60 + 1 / (10 + 1 / (_EDGE.polls_per_s * loss))
        computed = false_ejections_per_year(loss, policy.fall, policy.rise, _DEFAULT.every_s)
        computed_edge = false_ejections_per_year(loss, policy.fall, policy.rise, 1 / rounds_per_s)
        say(
            f"{loss:.0%}: {rate:.3g} a year with the edge trigger (computed {computed_edge:.3g}),"
            f" {plain:.3g} without (computed {computed:.3g})"
        )
        results.append(
            Result(
                f"sim.false_ejections_per_year_{loss * 100:.0f}pct",
                _short(rate),
                "1/y",
                with_edge.ejections[None],
                goal,
                {
                    "computed": _short(computed_edge),
                    "without_edge": _short(plain),
                    "computed_without_edge": _short(computed),
                    "endpoint_years": round(with_edge.seconds * with_edge.endpoints / YEAR_S),
                },
            )
        )
    return results


def _default_times(ejects: dict[tuple[bool, int], list[float]]) -> list[Result]:
    fall = _POLICY.fall
    silent, refused = ejects[True, fall], ejects[False, fall]
    edge, plain = run_all([Job(one, 0.01, outages_per_day=0.2) for one in (_EDGE, _DEFAULT)])
    return [
        Result.median(
            "sim.eject_median_s", silent, "s", goal=6.0, refused_s=round(statistics.median(refused), 3)
        ),
        Result.median(
            "sim.fault_to_eject_s",
            edge.eject_from_fault_s,
            "s",
            p99=round(statistics.quantiles(edge.eject_from_fault_s, n=100)[98], 2),
            without_edge_s=round(statistics.median(plain.eject_from_fault_s), 1),
        ),
        Result.median("sim.return_s", plain.return_s, "s"),
    ]


def _bursts(say: Say) -> list[Result]:
    """Bursts of 2-20 s in which every probe of one endpoint is lost, by how many a day, fall and trigger."""
    rates, falls = (0.1, 1.0, 10.0), (3, 5, 8)
    keys = [(per_day, fall) for per_day in rates for fall in falls]
    jobs = [Job(_DEFAULT, 0.01, bursts_per_day=per_day).with_policy(fall=fall) for per_day, fall in keys]
    for (per_day, fall), tally in zip(keys, run_all(jobs), strict=True):
        ejected = tally.per_year(tally.ejections[Kind.BURST])
        say(f"{per_day:g} bursts a day, fall {fall}: {ejected:.1f} ejections a year")
    wide = replace(_DEFAULT, recheck_s=1.0)
    once = [
        Job(one, 0.01, bursts_per_day=1.0, shared_bursts=shared)
        for one, shared in ((_DEFAULT, False), (wide, False), (_EDGE, False), (_EDGE, True))
    ]
    usual, wider, edge, shared = run_all(once)
    per_year = [tally.per_year(tally.ejections[Kind.BURST]) for tally in (usual, wider, edge, shared)]
    say(
        f"1 a day: {per_year[0]:.1f}, rechecks 1 s apart {per_year[1]:.1f}, with the edge trigger"
        f" {per_year[2]:.1f}; where the observer's own network bursts {per_year[3]:.1f}"
    )
    more: dict[str, object] = {
        "bursts_per_year": 365,
        "rechecks_at_1s": _short(per_year[1]),
        "with_edge": _short(per_year[2]),
        "observers_own_network": _short(per_year[3]),
    }
    return [Result("sim.burst_ejections_per_year", _short(per_year[0]), "1/y", 2 * DAYS, None, more)]


def _returns(say: Say) -> list[Result]:
    """Rise and hold, under 37 outages and 37 grey failures (30-90 % lost) a year, with the edge trigger."""

    def job(**changes: object) -> Job:
        return Job(_EDGE, 0.01, outages_per_day=0.1, grey_per_day=0.1).with_policy(**changes)

    by_rise = run_all([job(rise=rise) for rise in RISES])
    for rise, tally in zip(RISES, by_rise, strict=True):
        say(f"rise {rise}: {_flapping(tally)}")
    for hold_s, tally in zip(_HOLDS_S, run_all([job(failback_hold_s=h) for h in _HOLDS_S]), strict=True):
        say(f"hold {hold_s:.0f} s: {_flapping(tally)}")
    chosen = by_rise[_POLICY.rise - RISES[0]]
    more: dict[str, object] = {
        "switches_per_year": _short(chosen.per_year(chosen.switches)),
        "grey_per_year": 37,
        "outages_per_year": 37,
    }
    return [Result("sim.flaps_per_year", _short(chosen.per_year(chosen.flaps)), "1/y", 2 * DAYS, None, more)]


def _flapping(tally: Tally) -> str:
    return (
        f"{tally.per_year(tally.flaps):.1f} flaps, {tally.per_year(tally.switches):.1f} switches a year,"
        f" back {statistics.median(tally.return_s):.0f} s after an outage"
    )


def _ranks(say: Say) -> list[Result]:
    """Ranking by latency: changes by noise alone, 1 % of the answers 200 ms late."""
    pairs = ((2.0, 14.0), (2.0, 70.0), (8.0, 16.0), (8.0, 10.0))
    changes = run_ranks([RankJob(pair, 0.2, 0.01) for pair in pairs])
    for pair, value in zip(pairs, changes, strict=True):
        say(f"{pair[0]:g} ms against {pair[1]:g} ms: {value:.3g} changes of rank a year")
    more: dict[str, object] = {
        f"{one:g}_against_{other:g}ms": _short(v) for (one, other), v in zip(pairs, changes, strict=True)
    }
    return [Result("sim.rank_changes_per_year", _short(changes[0]), "1/y", DAYS * 1440, None, more)]


def _partial(say: Say) -> list[Result]:
    """An hour in which a share of the statements fails or hangs: which rules notice, and after how long."""
    for hangs in (False, True):
        for checkers, every_s in _WATCHES:
            say(f"statements {'hang' if hangs else 'fail'}; {checkers} checkers, every {every_s:.0f} s")
            cases = [Case(share, hangs, checkers, every_s) for share in _SHARES]
            for case, seen in zip(cases, run_partial(cases, _RUNS), strict=True):
                say(f"  {case.share:.0%}: {_noticed(seen)}")
    for rate in (Rate(20, 4), Rate(20, 4, at_once=False), Rate(40, 10, at_once=False)):
        say(f"with a rule that Beacon does not have, {rate}")
        cases = [Case(share, rate=rate) for share in (0.05, *_SHARES[:5])]
        for case, seen in zip(cases, run_partial(cases, _RUNS), strict=True):
            say(f"  {case.share:.0%}: {_noticed(seen)}")
    (seen,) = run_partial([Case(0.3)], _RUNS)
    more: dict[str, object] = {
        "share": 0.3,
        "probes_failed": _short(sum(one.failed for one in seen) / sum(one.asked for one in seen)),
        "runs_out_of_dns": sum(one.unhealthy_at_s < math.inf for one in seen),
        "runs_out_of_the_document": sum(one.out_at_s < math.inf for one in seen),
    }
    return [Result.median("sim.partial_alarm_s", [one.alarm_at_s for one in seen], "s", goal=600.0, **more)]


def _noticed(seen: Sequence[Seen]) -> str:
    """The share of the hours in which each rule noticed, the median time, and the share of time out."""

    def when(times_s: Sequence[float]) -> str:
        noticed = sum(one < math.inf for one in times_s) / len(times_s)
        median_s = statistics.median(times_s)
        return f"in {noticed:4.0%} of the hours, {f'{median_s:.0f} s' if median_s < math.inf else '-'}"

    def mean(values: Sequence[float]) -> float:
        return statistics.mean(values) / 3600

    return (
        f"probes failed {sum(one.failed for one in seen) / sum(one.asked for one in seen):.1%}"
        f" | DNS {when([one.unhealthy_at_s for one in seen])},"
        f" out {mean([one.unhealthy_s for one in seen]):.1%}"
        f" | document {when([one.out_at_s for one in seen])}, out {mean([one.out_s for one in seen]):.1%}"
        f" | alarm {when([one.alarm_at_s for one in seen])}"
    )


def _chart(
    rates: dict[tuple[float, int, int], float],
    ejects: dict[tuple[bool, int], list[float]],
    defaults: Sequence[float],
) -> str:
    across = {fall: statistics.median(ejects[True, fall]) for fall in FALLS}
    series = [
        Series(
            f"{loss:.0%} lost, every {every} s",
            _COLOURS[every],
            [
                Point(
                    across[fall],
                    rates[loss, every, fall],
                    f"fall {fall}" if every == PERIODS_S[-1] and loss == _LOSSES[1] else "",
                )
                for fall in FALLS
            ],
            dashed=loss == _LOSSES[0],
        )
        for loss in reversed(_LOSSES)
        for every in PERIODS_S
    ]
    at_s = across[_POLICY.fall]
    marked = [Point(at_s, rate, marked=True) for rate in defaults]
    series.append(Series("defaults, edge trigger", "black", marked, dashed=True))
    limits = [
        Limit("goal at 5% loss", "#777777", y=1.0),
        Limit("goal at 1% loss", "#777777", y=0.1),
        Limit("at most 6 s", "#777777", x=6.0),
    ]
    return draw(
        "False ejections against time to eject, by fall and schedule",
        Axis("time from the first probe of a silent endpoint to its ejection, s (median)", 1.0, 9.0),
        Axis("false ejections per endpoint-year", 1e-10, 1e4),
        series,
        limits,
    )


def _short(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")
