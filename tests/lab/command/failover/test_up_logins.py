"""A Region whose logins fail while open sessions answer leaves DNS and SSM; an overloaded one does not."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.command.conftest import Answer, LabProcess

pytestmark = pytest.mark.lab

FIRST, SECOND = "us-east-1", "us-east-2"
#: The lab of this directory runs ten times as fast, the interval of logins too.
SPEED = 10
#: The promise: a fault of logins alone is a 503 from every sandbox that is in use, and what a busy machine
#: may add to it.
EVERY_SANDBOX_WITHIN_S, MARGIN_S = 75.0 / SPEED, 10.0
#: Long enough for four logins of each sandbox.
STORM_S = 4 * 60.0 / SPEED
#: As many requests at a time as there are sandboxes.
AT_A_TIME = 6


def answers(lab: LabProcess, region: str) -> list[Answer]:
    """Answers from several sandboxes at the same time; a 500 says that all were busy with checkers."""
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        found = list(threads.map(lambda _: lab.health(region), range(AT_A_TIME)))
    return [answer for answer in found if answer.status != 500]


def settle_and_warm(lab: LabProcess) -> None:
    """Wait for the effects of earlier faults to end, and start every sandbox: one without a session fails
    under overload, because nothing shows it that the database answers."""
    lab.await_settled()
    for region in (FIRST, SECOND):
        for _ in range(5):
            assert {answer.status for answer in answers(lab, region)} <= {200}


def none_serves(lab: LabProcess, region: str, rounds: int = 3) -> bool:
    """Whether no sandbox serves, several times in a row."""
    return all({answer.status for answer in answers(lab, region)} <= {503} for _ in range(rounds))


@pytest.mark.parametrize("way", ["error", "reset", "denied"])
def test_logins_that_fail_move_dns_and_ssm_while_the_overloaded_survivor_stays(
    lab: LabProcess, way: str
) -> None:
    """`dsql-login` is a 503 from every sandbox; a storm of 53400 in the other Region moves nothing."""
    settle_and_warm(lab)
    lab.fault(SECOND, "dsql-overload")
    assert lab.command("fault", FIRST, "dsql-login", "--way", way).returncode == 0
    lab.until("no sandbox serves", partial(none_serves, lab, FIRST), EVERY_SANDBOX_WITHIN_S + MARGIN_S)
    lab.until("DNS names the second", lambda: lab.look_up() == lab.host(SECOND))
    for region in (FIRST, SECOND):
        moved = partial(lambda region: lab.parameter("endpoint", region) == lab.host(SECOND), region)
        lab.until(f"SSM of {region} names the second", moved)
    assert lab.health_not_throttled(SECOND).status == 200
    assert lab.checks() == {FIRST: "unhealthy", SECOND: "healthy"}
    lab.heal(SECOND)
    lab.heal(FIRST)
    lab.await_settled()


@pytest.mark.parametrize("way", ["rate", "connections"])
def test_a_storm_of_refused_logins_moves_nothing(lab: LabProcess, way: str) -> None:
    """53400 and 53300 while open sessions answer: 200 with a warning, and neither DNS nor SSM moves."""
    settle_and_warm(lab)
    assert lab.command("fault", FIRST, "dsql-overload", "--way", way).returncode == 0
    warned = 0
    over = time.monotonic() + STORM_S
    while time.monotonic() < over:
        for answer in answers(lab, FIRST):
            assert answer.status == 200, answer
            warned += answer.output == "too_many_connections"
        assert lab.look_up() == lab.host(FIRST)
        assert lab.parameter("endpoint") == lab.host(FIRST)
        row = next(row for row in lab.document(SECOND)["endpoints"] if row["region"] == FIRST)
        assert (row["observed"], row["effective"]) == ("up", "in")
        time.sleep(0.2)
    assert lab.checks()[FIRST] == "healthy"
    assert warned > 0, "no sandbox has tried a login"
    lab.heal(FIRST)
    lab.await_settled()
