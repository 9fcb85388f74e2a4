"""The limits of faults: each ends its own fault once, and what was lifted or replaced ends nothing."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from beacon_lab.defects import Defects
from beacon_lab.errors import LabBrokenError
from beacon_lab.fault_limits import FaultLimits
from beacon_lab.faults import FaultKind

FREEZE, SSM = FaultKind.DSQL_FREEZE, FaultKind.SSM_DOWN
EAST, WEST = "us-east-1", "us-west-2"


def test_a_limit_ends_its_fault_and_a_lifted_or_replaced_one_does_not() -> None:
    """Of five limits, three are left: one of them is the later one of the same fault."""
    ended: list[str] = []

    def end(name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def act() -> None:
            ended.append(name)

        return act

    async def scenario() -> None:
        limits = FaultLimits(Defects(asyncio.Event()))
        limits.set(EAST, FREEZE, 0.01, end("replaced"))
        limits.set(EAST, FREEZE, 0.02, end("freeze"))
        limits.set(EAST, SSM, 0.01, end("lifted"))
        limits.lift(EAST, SSM)
        limits.set(WEST, FREEZE, 0.01, end("all lifted"))
        limits.lift(WEST)
        limits.set(WEST, SSM, 0.03, end("ssm"))
        for _ in range(500):
            if len(ended) == 2:
                break
            await asyncio.sleep(0.01)
        limits.lift(EAST)

    asyncio.run(scenario())
    assert ended == ["freeze", "ssm"]


def test_an_end_that_breaks_is_a_defect_of_the_lab() -> None:
    """It ends the lab, as any other defect."""

    async def scenario() -> None:
        stop = asyncio.Event()
        defects = Defects(stop)

        async def breaks() -> None:
            raise ValueError("broken")

        FaultLimits(defects).set(EAST, FREEZE, 0.01, breaks)
        await asyncio.wait_for(stop.wait(), 10)
        with pytest.raises(LabBrokenError):
            defects.raise_first()

    asyncio.run(scenario())
