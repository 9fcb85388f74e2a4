"""The lab's children end with the lab, however the lab ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from beacon_lab.processes.children import Processes, ProcessesError
from beacon_lab.processes.process_table import ProcessIdentity, entry, identify, session_tree, snapshot

pytestmark = pytest.mark.lab

ENV = {"PATH": os.defpath}

# A child that makes one process in another group of its session, one in a session of its own, and stops both.
FAMILY = textwrap.dedent(
    """
    import os, pathlib, signal, sys, time
    numbers = [os.getpid()]
    for move in (os.setpgrp, os.setsid):
        pid = os.fork()
        if pid == 0:
            move()
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(600)
        os.waitpid(pid, os.WUNTRACED)
        numbers.append(pid)
    path = pathlib.Path(sys.argv[1])
    path.with_suffix(".new").write_text(" ".join(map(str, numbers)))
    path.with_suffix(".new").rename(path)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
    """
)

LAB = textwrap.dedent(
    """
    import asyncio, json, os, sys
    from pathlib import Path
    from beacon_lab.processes.children import Processes

    async def main():
        directory = Path(sys.argv[1])
        processes = Processes()
        await processes.start()
        processes.remove_at_exit(directory)
        argv = [sys.executable, "-c", sys.argv[2], str(directory / "pids")]
        await processes.spawn("family", argv, env={"PATH": os.defpath})
        while not (directory / "pids").exists():
            await asyncio.sleep(0.02)
        family = map(int, (directory / "pids").read_text().split())
        print(json.dumps([processes._reaper.pid, *family]), flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
    """
)


def wait_until_gone(identities: list[ProcessIdentity], within_s: float = 15.0) -> None:
    """Poll until none of the processes lives; those that do fail the test."""
    deadline = time.monotonic() + within_s
    while left := [found for found in identities if found.alive()]:
        if time.monotonic() >= deadline:
            for found in left:
                found.send(signal.SIGKILL)
            pytest.fail(f"still alive: {left}")
        time.sleep(0.02)


async def until_there(path: Path) -> None:
    """Wait, at most 15 s, for a file that a child makes."""
    for _ in range(750):
        if await asyncio.to_thread(path.exists):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{path} was not made")


async def family(processes: Processes, directory: Path) -> list[ProcessIdentity]:
    """Start FAMILY and return the identities of its three processes."""
    await processes.spawn("family", [sys.executable, "-c", FAMILY, str(directory / "pids")], env=ENV)
    await until_there(directory / "pids")
    found = [identify(int(pid)) for pid in (directory / "pids").read_text().split()]
    return [identity for identity in found if identity is not None]


def test_a_killed_lab_leaves_no_process_and_no_directory(tmp_path: Path) -> None:
    """After SIGKILL of the lab its files and children are gone: other groups, sessions, stopped ones."""
    directory = tmp_path / "data"
    directory.mkdir()
    lab = subprocess.Popen(
        [sys.executable, "-c", LAB, str(directory), FAMILY], stdout=subprocess.PIPE, text=True
    )
    with lab:
        assert lab.stdout is not None
        pids: list[int] = json.loads(lab.stdout.readline())
        identities = [found for pid in pids if (found := identify(pid)) is not None]
        assert len(identities) == 4
        states = [row.state for pid in pids[2:] if (row := entry(pid)) is not None]
        assert states == ["T", "T"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            identities[0].send(number)  # the watcher pays no heed
        lab.kill()
    wait_until_gone(identities)
    assert not directory.exists()


def test_close_ends_stubborn_and_stopped_children(tmp_path: Path) -> None:
    """close() kills what ignores SIGTERM, stopped processes included, and may be called again."""
    directory = tmp_path / "data"
    directory.mkdir()

    async def scenario() -> list[ProcessIdentity]:
        processes = Processes()
        processes.remove_at_exit(directory)
        await processes.start()
        identities = await family(processes, directory)
        await processes.close()
        await processes.close()
        return identities

    identities = asyncio.run(scenario())
    assert len(identities) == 3
    assert not any(found.alive() for found in identities)
    assert not directory.exists()


def test_a_child_gets_its_environment_and_log_and_reports_its_status(tmp_path: Path) -> None:
    """The environment is exactly the one given, output goes to the log, wait() gives the status."""
    log = tmp_path / "log"

    async def scenario() -> int:
        async with Processes() as processes:
            code = "import os, sys; print(os.environ['COLOUR'], 'HOME' in os.environ); sys.exit(7)"
            child = await processes.spawn(
                "once", [sys.executable, "-c", code], env={**ENV, "COLOUR": "blue"}, cwd=tmp_path, log=log
            )
            return await asyncio.wait_for(child.wait(), 15)

    log.write_text("before\n")
    assert asyncio.run(scenario()) == 7
    assert log.read_text() == "before\nblue False\n"


def test_terminate_lets_a_child_end_by_itself(tmp_path: Path) -> None:
    """A child that handles SIGTERM chooses its status, even when it was stopped."""
    code = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "pathlib.Path('ready').touch()\n"
        "while True: signal.pause()\n"
    )

    async def scenario() -> int:
        async with Processes() as processes:
            child = await processes.spawn("polite", [sys.executable, "-c", code], env=ENV, cwd=tmp_path)
            await until_there(tmp_path / "ready")
            child.send(signal.SIGSTOP)
            return await child.terminate(grace_s=15)

    assert asyncio.run(scenario()) == 5


def test_a_missing_program_is_named() -> None:
    """A program that is not there is reported with its path."""

    async def scenario() -> None:
        async with Processes() as processes:
            await processes.spawn("ghost", ["/nonexistent/program"], env=ENV)

    with pytest.raises(ProcessesError, match="/nonexistent/program"):
        asyncio.run(scenario())


def test_a_reused_number_is_not_killed() -> None:
    """A session whose number now belongs to a process with another start time is taken as over."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    with child:
        identity = identify(child.pid)
        assert identity is not None
        stale = ProcessIdentity(identity.pid, identity.started - 1)
        assert session_tree(identity, snapshot()) == [identity]
        assert session_tree(stale, snapshot()) == []
        assert not stale.send(signal.SIGKILL)
        assert identity.alive()
        child.kill()
