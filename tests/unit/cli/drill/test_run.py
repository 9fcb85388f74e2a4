"""The order of a drill: a repair follows a signal and an error, and is tried again until it works."""

import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.cli.drill.drills import PARAMETERS
from tests.unit.cli.situations import FAR, NEAR, check, forced, situation

from beacon.predict import Timings
from beacon_cli.drill import run as running
from beacon_cli.drill.breaks import Begun, Repaired
from beacon_cli.drill.expected import checkers_of, expectations, ssm_of
from beacon_cli.drill.kinds import KINDS
from beacon_cli.drill.plan import Plan
from beacon_cli.drill.recorder import Recorder
from beacon_cli.drill.report import Outcome, Report, outcome_of, reasons
from beacon_cli.drill.run import Run, signals_set
from beacon_cli.drill.tracks import Of
from beacon_cli.errors import FailedError
from beacon_cli.fleet import Fleet, Site
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import ForcedChange, Known

FLEET = Fleet("shop", "test", (Site(NEAR, "shop-test", "a"), Site(FAR, "shop-test", "b")), "samconfig.toml")
QUICK = Timings(0.05, 1, 0.2, 0.01, 0.05, 1, 1, 0.0, checkers=6)
KIND = KINDS["lab:gateway-down"]
UP = {NEAR: "in up - ok", FAR: "in up - ok", "endpoint": NEAR, "frozen": "no"}


class Places:
    """Stands for the sampler: what it shows follows the break at once."""

    broken = False
    blind = False

    def __init__(self, _sessions: object, _checks: object, _targets: object, recorder: Recorder) -> None:
        self._recorder = recorder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def start(self) -> None:
        self._recorder.add(checkers_of(NEAR), Of.CHECK, NEAR)
        self._recorder.add(ssm_of(FAR), Of.SSM, FAR)
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            now = time.monotonic()
            healthy = {"healthy": "no", "says": KIND.says[0]} if Places.broken else {"healthy": "yes"}
            self._recorder.record(checkers_of(NEAR), now, now, healthy)
            self._recorder.record(ssm_of(FAR), now, now, {"unread": "denied"} if Places.blind else UP)


class Breaking:
    """A break that remembers, and whose repair may fail some times; a signal may come with the break."""

    def __init__(
        self, *, fails: int = 0, signal_: int = 0, begins: bool = True, ends_in_s: float = 60
    ) -> None:
        self.did: list[str] = []
        self._fails = fails
        self._signal = signal_
        self._begins = begins
        self._ends_in_s = ends_in_s

    def begin(self) -> Begun:
        self.did.append("begin")
        if not self._begins:
            raise FailedError("FIS is silent")
        Places.broken = True
        if self._signal:
            signal.raise_signal(self._signal)
        return Begun(time.monotonic(), datetime.now(UTC) + timedelta(seconds=self._ends_in_s))

    def repair(self) -> Repaired:
        self.did.append("repair")
        if self._fails:
            self._fails -= 1
            raise FailedError("the lab does not answer")
        Places.broken = False
        return Repaired(True, "it has ended")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and short pauses."""
    monkeypatch.setattr(running, "Sampler", Places)
    monkeypatch.setattr(running, "read_forced", lambda *_: forced())
    for name in ("_CALM_S", "_LOOK_S", "_REPAIR_AGAIN_S", "_REPAIR_GRACE_S"):
        monkeypatch.setattr(running, name, 0.05)
    monkeypatch.setattr(running, "_SETTLE_S", 1.0)
    Places.broken = Places.blind = False


def plan() -> Plan:
    good = situation(timings=QUICK, authoritative=None)
    made = expectations(good, NEAR, KIND, PARAMETERS, 1.0)
    return Plan(
        NEAR, KIND, good, made, (), 60.0, "", "there is no table", {NEAR: check(NEAR).value.check}, {}
    )


def ran(breaking: Breaking, say: Any = lambda _: None) -> Report:  # noqa: ANN401 - a function of a line
    asked = threading.Event()
    with signals_set(asked):
        return Run(Sessions(FLEET), plan(), "drill-1", "alice", breaking, say, asked)()


def test_a_drill_breaks_waits_repairs_and_waits_again() -> None:
    """Both ways are seen, and it passes without a consumer."""
    breaking, lines = Breaking(), list[str]()
    made = ran(breaking, lines.append)
    assert breaking.did == ["begin", "repair"]
    assert reasons(made) == ()
    assert outcome_of(made) is Outcome.PASSED
    assert [one.measured_s is not None for one in made.results] == [True, True]
    text = "\n".join(lines)
    assert text.index("is broken by") < text.index("out after") < text.index("it has ended after")
    assert text.index("it has ended after") < text.index("back after")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_waiting_and_the_repair_follows(number: int) -> None:
    """The handlers of before are there again afterwards."""
    before = signal.getsignal(number)
    breaking = Breaking(signal_=number)
    made = ran(breaking)
    assert breaking.did == ["begin", "repair"]
    assert made.whole
    assert outcome_of(made) is Outcome.INTERRUPTED
    assert signal.getsignal(number) is before


def test_a_repair_that_fails_is_tried_again() -> None:
    """Until it works."""
    breaking = Breaking(fails=3)
    made = ran(breaking)
    assert breaking.did == ["begin", *["repair"] * 4]
    assert made.whole


def test_a_repair_that_never_works_ends_with_the_net() -> None:
    """The report says when the break ends by itself, and does not pass."""
    made = ran(Breaking(fails=10**6, ends_in_s=0.2))
    assert not made.whole
    assert made.repaired_s is None
    assert any("it ends by itself at" in one and "does not answer" in one for one in reasons(made))
    assert outcome_of(made) is Outcome.FAILED


def test_a_break_that_fails_is_repaired_all_the_same() -> None:
    """It may have begun half; the error is the command's."""
    breaking = Breaking(begins=False)
    with pytest.raises(FailedError, match="FIS is silent"):
        ran(breaking)
    assert breaking.did == ["begin", "repair"]


def test_nothing_is_broken_while_a_place_cannot_be_read() -> None:
    """The drill could not say that it moves."""
    Places.blind = True
    breaking = Breaking()
    with pytest.raises(
        FailedError, match=r"SSM of us-east-2 could not be read within 1 s. Nothing has changed"
    ):
        ran(breaking)
    assert breaking.did == []


def test_what_operators_write_meanwhile_is_not_by_this_drill(monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill's own rows, older ones and the record of an expiry are left out."""
    at = datetime(2026, 11, 25, 3, 0, 0, tzinfo=UTC)
    rows = tuple(
        ForcedChange(at, FAR, "drain", reason, "bob", None)
        for reason in ("drill-1", "expired: drill-0", "a patch")
    )
    monkeypatch.setattr(running, "read_forced", lambda *_: Known(forced(changes=rows).value))
    made = ran(Breaking())
    assert made.strangers == (f"not by this drill: bob drained {FAR}: 'a patch'",)
    assert outcome_of(made) is Outcome.FAILED
