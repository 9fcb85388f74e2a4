"""The simulations, as jobs that run in their own processes, each with its own seed.

Every job covers 10,000 endpoint-days (two endpoints) unless it says otherwise. Jobs about false ejections
continue until they have seen enough events for a figure, which for rare events is millions of years. They
skip rounds that cannot matter, so this takes seconds.
"""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from beacon.model import Policy
from simulation.engine import Setup, Simulation, Tally
from simulation.partial import Case, Seen, simulate
from simulation.ranking import noisy, rank_changes
from simulation.weather import Kind, Weather, arrivals

__all__ = ["DAYS", "FALLS", "PERIODS_S", "RISES", "Job", "RankJob", "run_all", "run_partial", "run_ranks"]

FALLS, RISES, PERIODS_S = range(2, 9), range(1, 5), (60, 30, 20, 10)
#: Of each endpoint; there are two.
DAYS = 5_000
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Job:
    """A setup and its losses: independent loss, and episodes per endpoint-day of each kind.

    ``shared_bursts``: each burst meets every endpoint at once (the publisher's own network), not one alone.
    """

    setup: Setup
    loss: float
    events: int = 0
    bursts_per_day: float = 0.0
    outages_per_day: float = 0.0
    grey_per_day: float = 0.0
    shared_bursts: bool = False
    days: float = DAYS
    seed: int = 1

    def with_policy(self, **changes: object) -> Job:
        """The same job under another policy."""
        policy = replace(self.setup.policy, **changes)  # type: ignore[arg-type] # names are not typed
        return replace(self, setup=replace(self.setup, policy=policy))


@dataclass(frozen=True, slots=True)
class RankJob:
    """Two endpoints' median latencies, their noise, and how often an answer is late by a retransmission."""

    medians_ms: tuple[float, float]
    spread: float
    late_share: float
    every_s: float = 60.0
    seed: int = 1


def run_all(jobs: list[Job], processes: int = 2) -> list[Tally]:
    """The jobs' tallies, in their order."""
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_run, jobs, chunksize=1))


def run_partial(cases: list[Case], runs: int, processes: int = 2) -> list[list[Seen]]:
    """What ``runs`` runs of each case saw, each with its own seed."""
    seeded = [replace(case, seed=seed) for case in cases for seed in range(runs)]
    with ProcessPoolExecutor(processes) as pool:
        seen = list(pool.map(simulate, seeded, chunksize=4))
    return [seen[at : at + runs] for at in range(0, len(seen), runs)]


def run_ranks(jobs: list[RankJob], processes: int = 2) -> list[float]:
    """Changes of rank per year."""
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_run_ranks, jobs, chunksize=1))


def _run(job: Job) -> Tally:
    rng = random.Random(job.seed)
    until_s = job.days * _DAY_S
    shared = arrivals(
        rng, until_s, job.bursts_per_day if job.shared_bursts else 0, Kind.BURST, length_s=(2, 20)
    )
    weathers = []
    for _ in range(job.setup.endpoints):
        own = 0 if job.shared_bursts else job.bursts_per_day
        episodes = [
            *shared,
            *arrivals(rng, until_s, own, Kind.BURST, length_s=(2, 20)),
            *arrivals(rng, until_s, job.outages_per_day, Kind.OUTAGE, length_s=(30, 900)),
            *arrivals(rng, until_s, job.grey_per_day, Kind.GREY, length_s=(300, 1800), loss=(0.3, 0.9)),
        ]
        weathers.append(Weather(job.loss, episodes))
    return Simulation(job.setup, weathers, rng).run(until_s, events=job.events)


def _run_ranks(job: RankJob) -> float:
    rng = random.Random(job.seed)
    rounds = int(DAYS * _DAY_S / job.every_s)
    pairs = noisy(rng, rounds, job.medians_ms, job.spread, job.late_share)
    return rank_changes(pairs, Policy()) / (DAYS / 365.25)
