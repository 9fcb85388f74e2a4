"""What is looked at how often: Route 53 is spared, and a place that hangs holds up no other."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from tests.unit.cli.situations import FAR, NEAR, answer, check, published

from beacon_cli.drill import sampler as sampling
from beacon_cli.drill.expected import DNS, checkers_of, ssm_of
from beacon_cli.drill.recorder import Recorder
from beacon_cli.drill.sampler import EVERY_S, Sampler
from beacon_cli.drill.tracks import Of
from beacon_cli.fleet import Fleet, Site
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import CheckReport, Fact, Published, RecordAnswer, Unknown
from beacon_cli.standing import Check

SITES = (Site(NEAR, "shop-test", "a"), Site(FAR, "shop-test", "b"))
FLEET = Fleet("shop", "test", SITES, "samconfig.toml", record_name="db.shop.test")


@dataclass
class Sources:
    """Answers at once, but for a Region's SSM that hangs until the end; remembers when checks were read."""

    checks: list[tuple[float, str]] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)

    def report(self, _sessions: Sessions, one: Check) -> Fact[CheckReport]:
        self.checks.append((time.monotonic(), one.region))
        return check(one.region)

    def published(self, _sessions: Sessions, region: str) -> Fact[Published]:
        if region == FAR:
            self.hang.wait(30)
            return Unknown("it hung")
        return published(region)

    @staticmethod
    def record(*_: object) -> Fact[RecordAnswer]:
        return answer(NEAR)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    """In place of AWS and DNS."""
    made = Sources()
    monkeypatch.setattr(sampling, "read_report", made.report)
    monkeypatch.setattr(sampling, "read_published", made.published)
    monkeypatch.setattr(sampling, "read_authoritative", made.record)
    yield made
    made.hang.set()


def until(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_checks_take_turns_at_two_calls_a_second(sources: Sources) -> None:
    """Route 53 takes five calls a second for an account, and others need some of them."""
    recorder = Recorder()
    checks = {region: Check(f"id-{region}", region) for region in (NEAR, FAR)}
    sampler = Sampler(Sessions(FLEET), checks, {}, recorder)
    sampler.start()
    until(lambda: len(sources.checks) >= 5)
    sources.hang.set()
    sampler.stop()
    times = [at for at, _ in sources.checks]
    assert all(other - one >= 0.95 * EVERY_S for one, other in itertools.pairwise(times))
    assert [region for _, region in sources.checks[:4]] == [NEAR, FAR, NEAR, FAR]
    tracks = {track.name: track for track in recorder.tracks(0.0)}
    assert set(tracks) == {checkers_of(NEAR), checkers_of(FAR), DNS, ssm_of(NEAR), ssm_of(FAR)}
    assert [dict(one.value) for one in tracks[DNS].points] == [
        {"region": NEAR, "target": answer(NEAR).value.target}
    ]
    assert len(tracks[ssm_of(NEAR)].points) == 1
    assert not any(one.readable for one in tracks[ssm_of(FAR)].points)


def test_a_track_keeps_changes_and_when_the_last_other_look_began() -> None:
    """A look that could not read is no proof of the old value."""
    recorder = Recorder()
    recorder.add("x", Of.DNS)
    for began, value in (
        (1.0, {"region": NEAR}),
        (2.0, {"region": NEAR}),
        (3.0, {"unread": "silent"}),
        (4.0, {"region": FAR}),
        (5.0, {"region": FAR}),
    ):
        recorder.record("x", began, began + 0.2, value)
    (track,) = recorder.tracks(1.0)
    shown = [(round(one.at_s, 1), round(one.after_s, 1), dict(one.value)) for one in track.points]
    assert shown == [
        (0.2, 0.0, {"region": NEAR}),
        (2.2, 1.0, {"unread": "silent"}),
        (3.2, 1.0, {"region": FAR}),
    ]
    assert round(track.until_s, 1) == 4.2
    found = track.at(2.5)
    assert found is not None
    assert found.value == {"region": NEAR}
