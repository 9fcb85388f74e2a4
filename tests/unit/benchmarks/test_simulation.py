"""The simulation behind the defaults: it observes as the observer does, decides by the real decision, and its
short cut changes no rate.
"""

import itertools
import math
import random
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from simulation.chart import Axis, Limit, Point, Series, draw
from simulation.closed_form import YEAR_S, false_ejections_per_year
from simulation.engine import Setup, Simulation, Tally, look
from simulation.partial import Case, Probing, Rate, simulate
from simulation.ranking import noisy, rank_changes
from simulation.weather import Episode, Kind, Weather, arrivals

from beacon.aws.sigv4 import Credentials
from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.dsql.session import SessionError
from beacon.model import Document, Endpoint, Observation, Policy, ProbeReport
from beacon.outcome import ProbeOutcome, Reason
from beacon.publisher.decide import Subject, decide
from beacon.publisher.observe import Observer
from beacon.settings import Settings

POLICY = Policy(fall=3, rise=2, ranking="priority")
DAY_S = 86_400.0
A, B = "us-east-1", "us-east-2"
ENDPOINTS = tuple(Endpoint(region, f"{'a' * 26}.dsql.{region}.on.aws") for region in (A, B))
SUBJECT = Subject("orders-prod", "dsql", A, ENDPOINTS)
FAIL, PASS = Observation(ProbeOutcome.FAIL, Reason.TIMEOUT), Observation(ProbeOutcome.PASS, Reason.OK, 10.0)


def dice(seed: int) -> random.Random:
    """Fixed seeds: a test here always passes or always fails."""
    return random.Random(seed)  # noqa: S311 - chance, not secrets


class VirtualProbe:
    """Meets a weather in which a probe is either lost or not, and moves a clock of its own."""

    def __init__(self, weather: Weather, at_s: float, *, silent: bool) -> None:
        self.weather, self.now, self.silent = weather, at_s, silent

    def run(self, deadline: float) -> ProbeReport:
        lost = self.weather.loss(self.now) == 1.0
        self.now += (deadline - self.now if self.silent else 0.005) if lost else 0.01
        return ProbeReport(FAIL if lost else PASS)

    def close(self) -> None:
        """Nothing is open."""

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def outcomes(seen: Sequence[Observation]) -> list[ProbeOutcome]:
    return [observation.outcome for observation in seen]


# ---- it observes as the observer does


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize("known_down", [False, True])
def test_a_look_is_what_the_observer_sees(silent: bool, known_down: bool) -> None:
    """The same outcomes, ending at the same moment, under three hundred patterns of loss."""
    rng = dice(7)
    setup = Setup(Policy(fall=5), every_s=60, silent=silent)
    longest = 0
    for _ in range(300):
        weather = Weather(0.0, [Episode(s := rng.uniform(-3, 6), s + rng.uniform(0, 5), Kind.BURST)])
        probe = VirtualProbe(weather, 0.0, silent=silent)
        observer = Observer({A: probe}, setup.pace, clock=probe.clock, sleep=probe.sleep)
        real = observer.run({A} if known_down else ()).observations[A]
        seen, ended_s = look(weather, 0.0, 1 if known_down else 5, setup, rng)
        assert outcomes(seen) == outcomes(real)
        assert ended_s == pytest.approx(probe.now)
        longest = max(longest, len(seen))
    assert longest == (1 if known_down else 5), "the patterns went all the way"


# ---- what is skipped would have changed nothing


def quiet_document(policy: Policy) -> Document:
    """Both up and in, for longer than any hold."""
    now = datetime(2030, 1, 1, tzinfo=UTC)
    first = decide(None, {A: [PASS], B: [PASS]}, {}, now=now, policy=policy, subject=SUBJECT).document
    later = now + timedelta(hours=2)
    return decide(first, {A: [PASS], B: [PASS]}, {}, now=later, policy=policy, subject=SUBJECT).document


@pytest.mark.parametrize("fall", [1, 2, 5, 8])
def test_a_round_without_fall_losses_in_a_row_leaves_a_quiet_document_as_it_is(fall: int) -> None:
    """Whatever number of losses below it, in both endpoints."""
    policy = replace(POLICY, fall=fall)
    before = quiet_document(policy)
    for losses in itertools.product(range(fall), repeat=2):
        seen = {region: [FAIL] * lost + [PASS] for region, lost in zip((A, B), losses, strict=True)}
        now = before.as_of + timedelta(seconds=60)
        decision = decide(before, seen, {}, now=now, policy=policy, subject=SUBJECT)
        assert decision.document.endpoints == before.endpoints
        assert (decision.document.frozen, decision.changes) == (False, ())


def simulated(setup: Setup, weathers: Sequence[Weather], until_s: float, seed: int, *, skip: bool) -> Tally:
    return Simulation(setup, weathers, dice(seed), skip=skip).run(until_s)


def agree(one: int, other: int, *, sigmas: float = 4.0) -> bool:
    """Whether two counts can be of the same rate."""
    return abs(one - other) <= sigmas * math.sqrt(one + other)


@pytest.mark.long
@pytest.mark.parametrize(("every_s", "polls_per_s"), [(60.0, 0.0), (10.0, 0.0), (60.0, 1.6)])
def test_skipping_changes_no_rate(every_s: float, polls_per_s: float) -> None:
    """Ejections, flaps and switches of days made round by round, and of as many with the short cut."""
    setup = Setup(replace(POLICY, failback_hold_s=90.0), every_s, polls_per_s=polls_per_s)
    weathers = [Weather(0.2), Weather(0.2)]
    until_s = 1.5 * DAY_S if polls_per_s or every_s < 60 else 6 * DAY_S
    whole = simulated(setup, weathers, until_s, 1, skip=False)
    short = simulated(setup, weathers, until_s, 2, skip=True)
    assert agree(whole.ejections[None], short.ejections[None])
    assert agree(whole.flaps, short.flaps)
    assert agree(whole.switches, short.switches)
    assert short.rounds_made < whole.rounds_made / 3, "it did skip"
    assert whole.ejections[None] > 100


@pytest.mark.long
def test_skipping_changes_no_rate_under_bursts_and_outages() -> None:
    """The rounds that an episode can touch are made one by one, with the losses around it."""
    rng = dice(5)
    until_s = 10 * DAY_S

    def weather() -> Weather:
        bursts = arrivals(rng, until_s, 100, Kind.BURST, length_s=(2, 20))
        return Weather(0.05, [*bursts, *arrivals(rng, until_s, 2, Kind.OUTAGE, length_s=(30, 900))])

    weathers = [weather(), weather()]
    setup = Setup(POLICY, 60.0)
    whole = simulated(setup, weathers, until_s, 1, skip=False)
    short = simulated(setup, weathers, until_s, 2, skip=True)
    for kind in (Kind.BURST, Kind.OUTAGE):
        assert agree(whole.ejections[kind], short.ejections[kind])
        assert whole.ejections[kind] > 20
    assert short.rounds_made < whole.rounds_made * 0.9


def test_the_rate_is_the_computed_one() -> None:
    """At the defaults and 5 % loss, from 1,000 ejections, which is some 6,000 endpoint-years."""
    setup = Setup(replace(Policy(), ranking="priority"), 60.0)
    tally = Simulation(setup, [Weather(0.05)] * 2, dice(1)).run(0.0, events=1000)
    computed = false_ejections_per_year(0.05, setup.policy.fall, setup.policy.rise, 60.0)
    assert tally.per_year(tally.ejections[None]) == pytest.approx(computed, rel=0.1)
    assert tally.seconds * 2 / YEAR_S > 5_000


def test_the_rarest_rates_are_the_computed_ones_too() -> None:
    """Eight in a row of one in a hundred: once in 10^16 rounds, where neither 1 - p nor a clock is exact."""
    setup = Setup(replace(POLICY, fall=8, failback_hold_s=0.0), 60.0)
    tally = Simulation(setup, [Weather(0.01)] * 2, dice(1)).run(0.0, events=1000)
    computed = false_ejections_per_year(0.01, 8, setup.policy.rise, 60.0)
    assert tally.per_year(tally.ejections[None]) == pytest.approx(computed, rel=0.1)
    assert tally.rounds_made < 10_000
    assert tally.flaps == 0


# ---- what it measures


def test_a_silent_endpoint_is_out_when_all_its_probes_have_ended_and_a_refusing_one_sooner() -> None:
    """From the start of the first probe; without other losses there is nothing else to it."""
    outage = [Episode(1000.5, 2000.0, Kind.OUTAGE)]
    for silent, expected_s in ((True, 1.0 + 2 * 0.75), (False, 2 * 0.75 + 0.005)):
        setup = Setup(POLICY, 60.0, silent=silent)
        tally = simulated(setup, [Weather(0.0, outage), Weather(0.0)], DAY_S, 1, skip=True)
        assert tally.eject_s == [pytest.approx(expected_s)]
        assert tally.eject_from_fault_s == [pytest.approx(1020 - 1000.5 + expected_s)]
        # The tick after the end at 2,000 s is at 2,040 s, and rise is two.
        assert tally.return_s == [pytest.approx(100.0, abs=0.1)]
        assert tally.ejections == {None: 0, Kind.OUTAGE: 1, Kind.BURST: 0, Kind.GREY: 0}


def test_the_edge_trigger_sees_an_outage_before_the_schedule() -> None:
    """Polled 1.6 times a second, its own probe fails within seconds, and the round follows."""
    setup = Setup(POLICY, 60.0, polls_per_s=1.6)
    outages = [Episode(start, start + 120.0, Kind.OUTAGE) for start in range(1001, 80_000, 1980)]
    tally = simulated(setup, [Weather(0.0, outages), Weather(0.0)], DAY_S, 1, skip=True)
    assert len(tally.eject_from_fault_s) == len(outages)
    # A poll after 1 / 1.6 s on average, its deadline, the trigger, and three probes.
    assert sum(tally.eject_from_fault_s) / len(outages) == pytest.approx(0.625 + 1.1 + 2.5, abs=0.4)


def test_an_observer_that_is_cut_off_ejects_no_endpoint() -> None:
    """Bursts that meet every endpoint at once are the observer's: it doubts itself."""
    bursts = [Episode(start, start + 20.0, Kind.BURST) for start in range(1000, 20_000, 100)]
    setup = Setup(POLICY, 10.0)
    together = simulated(setup, [Weather(0.0, bursts)] * 2, DAY_S, 1, skip=True)
    alone = simulated(setup, [Weather(0.0, bursts), Weather(0.0)], DAY_S, 1, skip=True)
    assert together.ejections[Kind.BURST] == 0
    assert alone.ejections[Kind.BURST] == len(bursts)


def test_where_episodes_overlap_the_worst_counts() -> None:
    """And afterwards the one that is left."""
    weather = Weather(0.1, [Episode(10, 30, Kind.GREY, 0.5), Episode(15, 20, Kind.BURST)])
    assert [weather.loss(at) for at in (9, 10, 15, 19.9, 20, 30)] == [0.1, 0.5, 1.0, 1.0, 0.5, 0.1]
    assert [weather.next_change(at) for at in (0, 10, 17, 30)] == [10, 15, 20, math.inf]
    met = weather.met(16, 25, Kind.GREY)
    assert met is not None
    assert met.start_s == 10
    assert weather.met(30, 40) is None


def test_episodes_arrive_as_often_as_asked() -> None:
    """Within what chance allows; lengths and losses within their ranges."""
    found = arrivals(dice(3), 1000 * DAY_S, 2.0, Kind.GREY, length_s=(5, 9), loss=(0.3, 0.4))
    assert len(found) == pytest.approx(2000, rel=0.1)
    assert all(5 <= one.end_s - one.start_s <= 9 and 0.3 <= one.loss <= 0.4 for one in found)


# ---- ranking


def test_the_rank_study_follows_the_real_decision() -> None:
    """The same latencies, round by round through the decision: as many changes of the preferred endpoint."""
    policy = Policy(failback_hold_s=0.0)
    pairs = list(noisy(dice(2), 3000, (8.0, 9.0), 0.4, 0.02))
    document: Document | None = None
    changes, at = 0, datetime(2030, 1, 1, tzinfo=UTC)
    for one, other in pairs:
        seen = {
            region: [Observation(ProbeOutcome.PASS, Reason.OK, value)]
            for region, value in zip((A, B), (one, other), strict=True)
        }
        at += timedelta(seconds=60)
        after = decide(document, seen, {}, now=at, policy=policy, subject=SUBJECT).document
        # Before the first round there was no order but the configured one.
        was = document.preferred.region if document else A
        changes += after.preferred.region != was
        document = after
    assert changes == rank_changes(pairs, policy)
    assert changes > 20


# ---- partial failures


def looks(case: Case, most: int) -> tuple[int, int]:
    """How many of ``most`` looks of one probe, a second apart, failed; the longest one in milliseconds."""
    probe = Probing(case, dice(1), patience_s=15.0)
    seen = [probe.look(float(at_s), 1.0) for at_s in range(most)]
    return sum(not passed for passed, _ in seen), round(1000 * max(takes_s for _, takes_s in seen))


@pytest.mark.parametrize("hangs", [False, True])
def test_a_probe_fails_when_a_fresh_connection_fails_too(hangs: bool) -> None:
    """One statement in three: p^2 with a connection open, p without one, which makes p^2 / (1 - p + p^2).

    The logins that are due every 30-45 s add a little: the first statement over a new one fails by itself.
    """
    failed, longest_ms = looks(Case(0.3, hangs), 20_000)
    assert failed / 20_000 == pytest.approx(0.09 / 0.79, rel=0.1)
    assert longest_ms == (1000 if hangs else 30)


class Coin:
    """A session whose statements fail by chance, at once or by silence, on a clock of its own."""

    descriptor = 7

    def __init__(self, case: Case, rng: random.Random, clock: list[float]) -> None:
        self.case, self.rng, self.clock = case, rng, clock

    def query(self, _statement: bytes, _parameters: Sequence[str], deadline: float) -> list[tuple[None, ...]]:
        if self.rng.random() >= self.case.share:
            self.clock[0] += 0.01
            return [(None,) * 5]
        if self.case.hangs:
            return self.answer(deadline)
        raise SessionError(Reason.SERVER_ERROR, "XX000")

    def answer(self, deadline: float) -> list[tuple[None, ...]]:
        self.clock[0] = max(self.clock[0], deadline)
        raise SessionError(Reason.TIMEOUT)

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("hangs", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.7])
@pytest.mark.parametrize(("every_s", "region"), [(1.67, A), (60.0, None)], ids=["health", "publisher"])
def test_the_model_of_a_probe_is_the_probe(
    monkeypatch: pytest.MonkeyPatch, hangs: bool, share: float, every_s: float, region: str | None
) -> None:
    """The real one, over sessions that fail by chance: of 5,000 looks as many fail, within chance."""
    case, rng, clock = Case(share, hangs), dice(3), [1000.0]

    class Connector:
        def __init__(self, *_given: object) -> None:
            """Any endpoint."""

        def open(self, _deadline: float) -> Coin:
            return Coin(case, rng, clock)

    monkeypatch.setattr("beacon.dsql.probe.Connector", Connector)
    arguments: dict[str, Any] = {
        "credentials": lambda: Credentials("AKID", "secret"),
        "clock": lambda: clock[0],
        "lasting": lambda: clock[0],
        "jitter": rng.uniform,
    }
    settings = Settings(
        app="orders", env="prod", region=A, endpoints=ENDPOINTS, db_user="probe", ca_file="/ca.pem"
    )
    probe = DsqlProbe(ENDPOINTS[0], ProbeContext(settings, Resolver(), **arguments), region)
    model = Probing(case, dice(5), patience_s=0.0 if region is None else 15.0)
    failed = [0, 0]
    for number in range(5000):
        clock[0] = max(clock[0], 1000.0 + number * every_s)
        failed[0] += probe.run(clock[0] + 1.0).observation.outcome is ProbeOutcome.FAIL
        failed[1] += not model.look(number * every_s, 1.0)[0]
    assert failed[1] / 5000 == pytest.approx(failed[0] / 5000, abs=0.03)


def test_nothing_and_everything_are_seen_for_what_they_are() -> None:
    """With all statements lost: DNS after three polls of five checkers, the document after five probes."""
    well = simulate(Case(0.0))
    assert (well.failed, well.alarm_at_s, well.unhealthy_s, well.out_s) == (0, math.inf, 0.0, 0.0)
    lost = simulate(Case(1.0, hangs=True))
    assert lost.failed == lost.asked == pytest.approx(6 * 360, abs=6)
    assert 20 <= lost.unhealthy_at_s <= 32
    assert 4 <= lost.out_at_s <= 15
    assert lost.unhealthy_at_s + lost.unhealthy_s == pytest.approx(3600, abs=2)


def test_a_partial_failure_moves_nothing_and_rings() -> None:
    """30 % of the statements: the checkers stay, and the alarm comes in five minutes."""
    seen = [simulate(Case(0.3, seed=seed)) for seed in range(5)]
    assert [one.unhealthy_at_s for one in seen] == [math.inf] * 5
    assert all(300 <= one.alarm_at_s <= 600 for one in seen)


def test_a_rule_about_the_rate_sees_what_a_count_in_a_row_does_not() -> None:
    """At 30 % the checkers leave; at 5 %, which is the loss that Fall is chosen for, they stay."""
    rule = Rate(40, 10, at_once=False)
    assert simulate(Case(0.3, rate=rule)).unhealthy_at_s < 600
    assert simulate(Case(0.05, rate=rule)).unhealthy_at_s == math.inf
    assert simulate(Case(0.3, rate=Rate(20, 4))).unhealthy_at_s < 600


# ---- the chart


def test_the_chart_is_svg_and_places_points_by_their_values() -> None:
    """A tenth on the logarithmic axis is as far below one as ten is above; what is outside is left out."""
    points = [Point(1, 0.1), Point(2, 1.0, "a < b", marked=True), Point(3, 10.0), Point(9, 1.0)]
    text = draw(
        "A & B",
        Axis("x", 0, 4),
        Axis("y", 0.01, 100),
        [Series("one", "red", points)],
        [Limit("most", "grey", y=1.0)],
    )
    root = ET.fromstring(text)  # noqa: S314 - our own text
    circles = [node for node in root.iter("{http://www.w3.org/2000/svg}circle") if node.get("fill") == "red"]
    x, y = ([float(node.get(name, "")) for node in circles] for name in ("cx", "cy"))
    assert len(circles) == 3
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2) != 0
    assert y[0] > y[2]
