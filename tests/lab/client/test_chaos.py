"""A minute of chaos in a whole lab: services that use the client read and write, and nothing is lost."""

from __future__ import annotations

import asyncio

import pytest

from beacon_lab.scenarios.chaos import Account, ChaosResult, run_chaos
from beacon_lab.scenarios.service_orders import KNOWLEDGE, prepare_documents, service_orders
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

pytestmark = pytest.mark.lab

DURATION_S = 60.0
#: Operations a second: the first service at the promised rate, the others beside it.
PER_S = {"ssm": 50.0}
OTHERS_PER_S = 15.0
#: The promise: whatever breaks, some operation is acknowledged within this time.
LONGEST_GAP_S = 2.0
SEED = 20261


async def _run(lines: list[str]) -> ChaosResult:
    async with running_lab(LabSettings(speed=5.0), lines.append, asyncio.Event()) as lab:
        await prepare_documents(lab)
        services = {
            name: service_orders(lab, name, PER_S.get(name, OTHERS_PER_S), workers=8) for name in KNOWLEDGE
        }
        return await run_chaos(lab, services, DURATION_S, SEED, lines.append)


def test_services_continue_through_chaos_and_nothing_is_lost_or_applied_twice() -> None:
    """By the document, by DNS, and with a document that is stale, missing or malformed."""
    lines: list[str] = []
    outcome = asyncio.run(_run(lines))
    broken = {event: times for event, times in outcome.events.items() if event.startswith("dsql-")}
    assert sum(broken.values()) >= 5, outcome.events
    assert len(broken) >= 3, outcome.events
    assert outcome.events.get("drain", 0) >= 1
    assert set(outcome.accounts) == set(KNOWLEDGE)
    for name, account in outcome.accounts.items():
        found = (name, account.summary(), lines)
        assert (account.lost, account.twice, account.failed_but_there) == (0, 0, 0), found
        assert account.longest_gap_s < LONGEST_GAP_S, found
        assert account.per_s > 0.9 * PER_S.get(name, OTHERS_PER_S), found
        assert account.count("failed") == 0, found


def test_an_account_finds_what_is_lost_applied_twice_or_there_after_a_failure() -> None:
    """The check above can fail."""
    account = Account()
    for operation, end in (("a", "acknowledged"), ("b", "acknowledged"), ("c", "failed"), ("d", "unknown")):
        account.add({"id": operation, "end": end, "at": len(account.ends) * 3.0, "ms": 1.0, "problem": ""})
    account.began, account.ended = 0.0, 30.0
    account.settle({"b": 2, "c": 1, "d": 1})
    assert (account.lost, account.twice, account.failed_but_there, account.unknown_and_there) == (1, 1, 1, 1)
    assert account.longest_gap_s == 27.0  # it stopped
    assert account.per_s == pytest.approx(2 / 30)
