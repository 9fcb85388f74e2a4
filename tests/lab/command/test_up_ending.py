"""However a lab or a demo ends, nothing of it is left: no process, no directory, no socket."""

from __future__ import annotations

import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from tests.lab.command.conftest import LabProcess, Starter, Up

pytestmark = pytest.mark.lab

#: How much of a demo is over when it has printed this.
STARTING, WALKING = "preparing schema", "1  healthy"


def listening(lab: LabProcess) -> list[int]:
    """The ports of the ready object on which a process still accepts connections."""
    ready = lab.ready
    ports = [urlsplit(ready[name]).port for name in ("aws_endpoint_url", "control_url")]
    ports += [ready["dns"]["port"], *(near["port"] for near in ready["dns"]["by_region"].values())]
    for region in ready["regions"].values():
        ports += [urlsplit(region["health_url"]).port, region["dsql"]["port"]]
    found = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            if port is not None and probe.connect_ex(("127.0.0.1", port)) == 0:
                found.append(port)
    return found


def test_a_lab_that_is_interrupted_takes_everything_with_it(up: Up, home: Path) -> None:
    """Exit status 0; no process, no TMPDIR entry, no port, no note and no ready file is left. What a lab that
    died before had left in the same place, after a power cut say, did not hinder it."""
    (home / "state").mkdir()
    (home / "state" / "lab.json").write_text('{"pid": 1, "started": 1, "control_url": "http://127.0.0.1:1"}')
    lab = up("--policy", "none", home=home)
    family = lab.family()
    assert len(family) > 10
    assert len(listening(lab)) == 9
    assert lab.end(signal.SIGINT) == 0
    assert "Traceback" not in lab.log
    assert lab.log.endswith("everything has ended; nothing is left behind\n")
    assert listening(lab) == []
    assert list(lab.state_dir.iterdir()) == []
    assert not lab.ready_file.exists()
    lab.assert_nothing_left(family, within_s=1.0)


def test_a_killed_lab_is_cleaned_up(up: Up) -> None:
    """SIGKILL: the watcher ends what is left within 15 s, the ready file too; orders say: no lab is up."""
    lab = up()
    family = lab.family()
    assert lab.end(signal.SIGKILL) == -signal.SIGKILL
    lab.assert_nothing_left(family, within_s=15.0)
    assert listening(lab) == []
    assert not lab.ready_file.exists()
    orphan = lab.command("status")
    assert (orphan.returncode, "no lab is up" in orphan.stderr) == (2, True)


@pytest.mark.parametrize(
    ("number", "when"),
    [(signal.SIGTERM, WALKING), (signal.SIGINT, STARTING), (signal.SIGKILL, WALKING)],
)
def test_a_demo_that_is_ended_half_way_leaves_nothing(
    start: Starter, number: signal.Signals, when: str
) -> None:
    """While it starts as well as while its consumer writes; asked to end, it says that it was interrupted."""
    demo = start("{beacon-lab}", "demo", "--speed", "10")
    demo.await_line(when)
    family = demo.family()
    status = demo.end(number)
    demo.assert_nothing_left(family)
    if number is signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert status == 2
        assert "beacon-lab: interrupted" in demo.log
        assert "Traceback" not in demo.log


#: The command line, with a mistake in the checkers' own code.
DEFECT = """
import sys
from beacon_lab.cli import main
from beacon_lab.route53 import poll

def broken(check):
    raise AttributeError("'NoneType' object has no attribute '_abort'")

poll._request = broken
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("command", ["demo", "up"])
def test_a_checker_that_breaks_ends_the_lab_with_a_sentence(start: Starter, command: str) -> None:
    """Status 3 and a last line that says whose fault it is, not a Region that never gets healthy."""
    places = ("--state-dir", "{home}/state")
    lab = start(sys.executable, "-c", DEFECT.replace("{", "{{"), command, "--speed", "10", *places)
    assert lab.popen.wait(120) == 3
    *_, last = lab.log.splitlines()
    assert last.startswith("beacon-lab: the health checker at 127.53.")
    assert "broke (AttributeError at " in last
    assert "this is a defect of the lab and says nothing about a Region" in last
    assert lab.log.count("Traceback") == 1
    lab.assert_nothing_left([])


def test_a_lab_lives_in_a_directory_with_letters_of_any_alphabet(start: Starter, home: Path) -> None:
    """TMPDIR with umlauts and kanji: the lab comes up, and leaves nothing there."""
    temporary = home / "größe-場所"
    temporary.mkdir()
    places = ("--state-dir", "{home}/state", "--ready-file", "{home}/ready.json")
    argv = ("{beacon-lab}", "up", "--speed", "10", "--policy", "none", *places)
    lab = start(*argv, home=home, TMPDIR=str(temporary)).await_ready(120)
    assert lab.ready_file.stat().st_mode & 0o777 == 0o600
    assert lab.health("us-east-1").status == 200
    assert lab.end(signal.SIGTERM) == 0
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed on this machine")
def test_a_demo_whose_make_is_killed_leaves_nothing(start: Starter) -> None:
    """Make cannot pass SIGKILL on; the demo notices that it is alone."""
    make = start("make", "--assume-old", ".venv/.synced", "demo")
    make.await_line(STARTING)
    family = make.family()
    assert make.end(signal.SIGKILL) == -signal.SIGKILL
    make.assert_nothing_left(family, within_s=30.0)
