"""Logins take turns with everything else in the event loop."""

from __future__ import annotations

import asyncio
import re

import pytest

from beacon_lab.dsql.login_queue import LoginQueue


def test_steps_keep_their_order_and_others_run_in_between() -> None:
    """Five steps at once take five turns; a neighbour that is ready runs between any two of them."""

    async def run() -> list[str]:
        queue, seen, done = LoginQueue(), list[str](), asyncio.Event()
        loop = asyncio.get_running_loop()

        def neighbour() -> None:
            seen.append("-")
            if not done.is_set():
                loop.call_soon(neighbour)

        loop.call_soon(neighbour)
        for name in "abcde":
            queue.run(lambda name=name: seen.append(name))  # type: ignore[misc]
        queue.run(done.set)
        await done.wait()
        return seen

    seen = "".join(asyncio.run(run()))
    assert seen.startswith("a-"), "the first step of a turn does not wait"
    assert seen.replace("-", "") == "abcde"
    assert not re.search("[a-e]{2}", seen)


def test_a_step_that_fails_does_not_stop_the_others() -> None:
    """Its error reaches the loop, as that of any callback does."""

    async def run() -> list[str]:
        queue, done = LoginQueue(), asyncio.Event()
        mishaps: list[str] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: mishaps.append(str(context["exception"])))

        def fail() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            queue.run(fail)
        queue.run(fail)
        queue.run(done.set)
        await asyncio.wait_for(done.wait(), 10)
        return mishaps

    assert asyncio.run(run()) == ["no"]
