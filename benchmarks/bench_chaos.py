"""Ten minutes of chaos at real-time speed: services that use the client read and write all the while.

There are five services, each with its own knowledge of endpoints (`beacon_lab.scenarios.service_orders`). The
first makes fifty transactions a second. Endpoints freeze, refuse, reset, deny, drop connections silently and
heal. Regions are drained and released, and SSM goes down. MINUTES and SEED choose another length and another
course.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable

from results import Result

from beacon_lab.scenarios.chaos import ChaosResult, run_chaos
from beacon_lab.scenarios.service_orders import KNOWLEDGE, prepare_documents, service_orders
from beacon_lab.settings import LabSettings
from beacon_lab.start import running_lab

_PER_S, _OTHERS_PER_S, _WORKERS = 50.0, 20.0, 8
_LONGEST_GAP_S = 2.0

Say = Callable[[str], None]


def run(say: Say) -> list[Result]:
    """The longest gap of any service, and the rows that were lost or applied twice."""
    minutes = float(os.environ.get("MINUTES", "10"))
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    say(f"{minutes:g} minutes, SEED={seed}")
    outcome = asyncio.run(_run(minutes * 60, seed, say))
    accounts = outcome.accounts
    for name, account in accounts.items():
        say(f"{name}: {account.summary()}")
    operations = sum(len(account.ends) for account in accounts.values())
    wrong = sum(account.twice + account.failed_but_there for account in accounts.values())
    more: dict[str, object] = {
        "minutes": minutes,
        "seed": seed,
        "events": {str(event): times for event, times in sorted(outcome.events.items())},
        "unknown": sum(account.count("unknown") for account in accounts.values()),
        "failed": sum(account.count("failed") for account in accounts.values()),
        **{f"gap_{name}_s": round(account.longest_gap_s, 2) for name, account in accounts.items()},
        **{f"{name}_per_s": round(account.per_s, 1) for name, account in accounts.items()},
    }
    longest = max(account.longest_gap_s for account in accounts.values())
    lost = sum(account.lost for account in accounts.values())
    return [
        Result("client.chaos_longest_gap_s", round(longest, 3), "s", operations, _LONGEST_GAP_S, more),
        Result("client.chaos_lost", lost, "rows", operations, 0.0),
        Result("client.chaos_applied_wrongly", wrong, "rows", operations, 0.0),
    ]


async def _run(duration_s: float, seed: int, say: Say) -> ChaosResult:
    async with running_lab(LabSettings(speed=1.0), say, asyncio.Event()) as lab:
        await prepare_documents(lab)
        services = {
            name: service_orders(lab, name, _PER_S if name == "ssm" else _OTHERS_PER_S, _WORKERS)
            for name in KNOWLEDGE
        }
        return await run_chaos(lab, services, duration_s, seed, say)
