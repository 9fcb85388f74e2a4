"""libpq called directly: where it is found, what a closed connection does, and what it keeps to itself."""

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from psycopg import pq

from beacon.dsql import libpq
from beacon.dsql.libpq import Connection, LibpqError, Polling

LAYER = Path(libpq.__file__).parents[1]
NOWHERE = b"host=a hostaddr=127.0.0.1 port=1 sslmode=disable gssencmode=disable"


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter with the library on its path."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.defpath, "PYTHONPATH": str(LAYER), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_it_is_the_library_that_psycopg_brings() -> None:
    """The same one, not a second of the system's."""
    assert pq.version() == libpq.VERSION
    mapped = {
        line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libpq" in line
    }
    assert len(mapped) == 1


def test_psycopg_itself_is_not_imported() -> None:
    """That is what the module is for."""
    run = python("import sys, beacon.dsql.libpq; print(*sys.modules)")
    assert run.returncode == 0, run.stderr
    assert not [name for name in run.stdout.split() if name.startswith("psycopg")]


@pytest.mark.parametrize("system", ["'libpq.so.0-none'", "None"])
def test_without_the_wheel_the_systems_library_is_taken_or_missed(system: str) -> None:
    """psycopg may be installed without its wheel; an error says what to install."""
    code = (
        "import importlib.util, ctypes.util\n"
        "importlib.util.find_spec = lambda name: None\n"
        f"ctypes.util.find_library = lambda name: {system}\n"
        "import beacon.dsql.libpq"
    )
    run = python(code)
    assert run.returncode == 1
    expected = "no libpq: install psycopg[binary]" if system == "None" else "libpq.so.0-none"
    assert expected in run.stderr.splitlines()[-1]


def test_a_connection_string_that_makes_no_sense_is_bad() -> None:
    """And says why, for the reason's code."""
    connection = Connection(b"sslmode=perhaps")
    assert connection.bad
    assert "sslmode" in connection.error_message
    connection.close()


@pytest.mark.parametrize(
    "act",
    [
        lambda connection: connection.send(b"SELECT", []),
        lambda connection: connection.consume(),
        lambda connection: connection.never_block(),
    ],
    ids=["send", "consume", "never_block"],
)
def test_a_closed_connection_fails_in_an_orderly_way(act: Callable[[Connection], None]) -> None:
    """Its pointer is gone, and nothing is called on it."""
    connection = Connection(NOWHERE)
    connection.close()
    connection.close()
    with pytest.raises(LibpqError):
        act(connection)
    assert connection.result() is None
    assert connection.poll() == Polling.FAILED
    assert connection.socket == -1


def test_a_connection_that_is_dropped_leaves_no_descriptor() -> None:
    """Also if the caller forgets to close it."""

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()  # what tests before this one left
    before = descriptors()
    connections = [Connection(NOWHERE) for _ in range(20)]
    assert descriptors() >= before + 20
    del connections
    gc.collect()
    assert descriptors() == before
