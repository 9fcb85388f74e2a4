"""What stands in a lab's way is said in one sentence, with exit status 2, and nothing is left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.lab.command.conftest import Refused, Starter

pytestmark = pytest.mark.lab


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port on which another process listens, over TCP and UDP."""
    with ExitStack() as stack:
        stream = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port: int = stream.getsockname()[1]
        datagram = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagram.bind(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("option", ["--aws-port", "--dns-port", "--control-port"])
def test_a_port_in_use_is_named(refused: Refused, taken_port: int, option: str) -> None:
    """With the option to change."""
    said = refused("up", option, str(taken_port))
    assert said == (
        f"beacon-lab: port {taken_port} on 127.0.0.1 is in use: choose another with {option},"
        " or 0 for any free one"
    )


def test_a_dns_port_taken_over_udp_alone_is_in_use(refused: Refused) -> None:
    """DNS needs both transports."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        assert f"port {port} on 127.0.0.1 is in use" in refused("up", "--dns-port", str(port))


def test_a_second_lab_is_refused_while_the_first_one_starts(start: Starter, refused: Refused) -> None:
    """The directory belongs to a lab from its first moments on, and orders to it wait until it is up."""
    first = start("{beacon-lab}", "up", "--state-dir", "{home}/state")
    first.await_line("deploying template.yaml")
    assert "a lab is already up" in refused("up", "--state-dir", str(first.state_dir))
    early = first.command("status")
    assert early.returncode == 2
    assert "the lab is still starting" in early.stderr


@pytest.mark.parametrize("option", ["--state-dir", "--ready-file"])
def test_a_place_that_cannot_be_written_is_named(refused: Refused, home: Path, option: str) -> None:
    """A directory that cannot be made, or a file in a directory that is not there."""
    (home / "file").touch()
    place = home / "file" / "below" if option == "--state-dir" else home / "missing" / "ready.json"
    said = refused("up", option, str(place))
    assert str(place) in said
    assert "cannot be written" in said


@pytest.mark.parametrize("command", [("status",), ("heal", "us-east-1"), ("fault", "us-east-1", "ssm-down")])
def test_an_order_to_no_lab_says_how_to_start_one(
    refused: Refused, home: Path, command: tuple[str, ...]
) -> None:
    """No note, or a note that makes no sense."""
    state = home / "state"
    state.mkdir()
    (state / "lab.json").write_text("{}")
    said = refused(*command, "--state-dir", str(state))
    assert said == f"beacon-lab: no lab is up (no note of one in {state}): start one with `beacon-lab up`"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--speed", "0"), "argument --speed: '0' is not a number from 1 to 20"),
        (("--speed", "fast"), "argument --speed: 'fast' is not a number from 1 to 20"),
        (("--speed", "nan"), "argument --speed: 'nan' is not a number from 1 to 20"),
        (("--policy", "geo"), "argument --policy: invalid choice: 'geo'"),
        (("--dns-port", "65536"), "argument --dns-port: '65536' is not a port"),
    ],
)
def test_a_wrong_option_is_named(refused: Refused, options: tuple[str, ...], sentence: str) -> None:
    """In argparse's way."""
    assert sentence in refused("up", *options)


def test_a_demo_of_a_policy_without_one_answer_is_refused(refused: Refused) -> None:
    """Weighted records answer at random: there is no transition to follow."""
    assert "the weighted policy does not give" in refused("demo", "--policy", "weighted")


def test_without_python_313_built_code_is_refused(refused: Refused) -> None:
    """One sentence names the missing thing, and nothing is left of the lab that began to start."""
    said = refused("up", "--built", BEACON_PYTHON313="/nonexistent")
    assert said == "beacon-lab: BEACON_PYTHON313 is /nonexistent, which is no final Python 3.13 with venv"


@pytest.mark.parametrize("command", ["up", "demo"])
def test_too_few_file_descriptors_are_named_before_anything_starts(home: Path, command: str) -> None:
    """With a hard limit of 64 the sentence says what is needed and how to raise it, and nothing is left."""
    done = subprocess.run(
        ["bash", "-c", f'ulimit -n 64; exec "$0" {command}', str(Path(sys.executable).parent / "beacon-lab")],
        env={**os.environ, "TMPDIR": str(home / "tmp")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("beacon-lab: this process may open 64 files, and the lab needs 1024: ")
    assert "`ulimit -n 1024`" in sentence
    assert list((home / "tmp").iterdir()) == []


def test_a_temporary_directory_whose_name_is_not_text_is_named(home: Path) -> None:
    """libpq, OpenSSL and JSON all want text."""
    temporary = os.fsencode(home) + b"/tmp\xff"
    os.mkdir(temporary)  # noqa: PTH102 - a path of bytes
    done = subprocess.run(
        [str(Path(sys.executable).parent / "beacon-lab"), "up", "--state-dir", str(home / "state")],
        env={**os.environb, b"TMPDIR": temporary},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "has a name that is not UTF-8" in sentence
    assert "point TMPDIR at another one" in sentence


def test_a_soft_limit_of_file_descriptors_is_raised_by_the_lab_itself() -> None:
    """Many systems have a soft limit that any process may raise."""
    code = (
        "import resource; from beacon_lab.preconditions import require_descriptors;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]));"
        "require_descriptors(); print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 1024


@pytest.mark.skipif(os.geteuid() != 0, reason="only a lab that root starts runs PostgreSQL as another user")
def test_a_directory_that_postgresql_cannot_pass_is_named(refused: Refused, home: Path) -> None:
    """As root, PostgreSQL runs as another user, who must be able to reach its files."""
    home.chmod(0o700)
    assert str(home / "tmp") in refused("up")
