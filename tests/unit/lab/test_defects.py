"""The first thing that breaks in the lab's own code ends the lab, with a sentence that says so."""

import asyncio
import logging

import pytest

from beacon_lab import cli
from beacon_lab.defects import Defects
from beacon_lab.errors import LabBrokenError


def raised(error: Exception) -> Exception:
    """The error with a traceback."""
    try:
        raise error
    except type(error) as found:
        return found


def test_the_first_defect_ends_the_lab_and_names_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """The event is set, one traceback is logged however often it happens, and the sentence tells where."""

    async def scenario() -> Defects:
        stop = asyncio.Event()
        defects = Defects(stop)
        defects.raise_first()
        for _ in range(3):
            defects.report("the checker", raised(AttributeError("_abort")))
        assert stop.is_set()
        return defects

    defects = asyncio.run(scenario())
    sentence = (
        r"^the checker broke \(AttributeError at test_defects.py:\d+\): this is a defect of the lab and"
    )
    with pytest.raises(LabBrokenError, match=sentence):
        defects.raise_first()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_no_descriptor_left_is_said_with_the_command_that_repairs_it() -> None:
    """EMFILE comes from the machine, not from a mistake in the code."""
    defects = Defects(asyncio.Event())
    defects.report("the checker", OSError(24, "Too many open files"))
    with pytest.raises(LabBrokenError, match=r"found no free file descriptor: .* `ulimit -n 4096`"):
        defects.raise_first()


def test_a_background_task_that_ends_by_itself_is_a_defect_and_a_cancelled_one_is_not() -> None:
    """A dead poll of ours would show the last state without an end."""

    async def scenario() -> None:
        stop = asyncio.Event()
        defects = Defects(stop)

        async def work(error: Exception | None) -> None:
            if error is None:
                await asyncio.sleep(60)
            else:
                raise error

        cancelled = asyncio.create_task(work(None))
        defects.watch("the first", cancelled)
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        await asyncio.sleep(0)
        defects.raise_first()
        defects.watch("the second", asyncio.create_task(work(KeyError("x"))))
        await asyncio.wait_for(stop.wait(), 5)
        with pytest.raises(LabBrokenError, match="the second broke"):
            defects.raise_first()

    asyncio.run(scenario())


def test_a_lab_that_broke_ends_with_status_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Apart from 1, the demo saw too little, and 2, something that the user can repair."""

    def broken(_: object) -> int:
        raise LabBrokenError("the checker broke")

    monkeypatch.setattr(cli, "_demo", broken)
    assert cli.main(["demo"]) == 3
    assert capsys.readouterr().err == "beacon-lab: the checker broke\n"
