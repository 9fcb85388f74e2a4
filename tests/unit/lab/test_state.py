"""The note of a running lab, its ready file, and what is refused before a lab starts."""

import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from beacon_lab import preconditions, state
from beacon_lab.errors import LabError
from beacon_lab.network.ports import require_port
from beacon_lab.processes.process_table import identify

URL, KEY = "http://127.0.0.1:1", "k"


class Usage(NamedTuple):
    """What shutil.disk_usage gives, in bytes."""

    total: int
    used: int
    free: int


def write_note(directory: Path, pid: int, started: int) -> None:
    """Leave a note as the process ``pid`` would."""
    directory.mkdir(exist_ok=True)
    note = {"pid": pid, "started": started, "control_url": URL, "key": KEY}
    (directory / "lab.json").write_text(json.dumps(note))


def test_a_claimed_directory_names_this_process(tmp_path: Path) -> None:
    """The note is read back as it was left, and its process lives."""
    state.claim(tmp_path / "state", URL, KEY)
    note = state.read(tmp_path / "state")
    assert note is not None
    assert (note.pid, note.control_url, note.alive) == (os.getpid(), URL, True)


def test_the_directory_is_private_to_its_user(tmp_path: Path) -> None:
    """No other user may put a note there."""
    state.claim(tmp_path / "state", URL, KEY)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_release_takes_away_what_claim_made(tmp_path: Path) -> None:
    """The note, and the directory if the claim made it and nothing else is in it; twice is harmless."""
    made = state.claim(tmp_path / "made", URL, KEY)
    made.release()
    made.release()
    assert not (tmp_path / "made").exists()
    (tmp_path / "given").mkdir()
    state.claim(tmp_path / "given", URL, KEY).release()
    assert list((tmp_path / "given").iterdir()) == []
    shared = state.claim(tmp_path / "shared", URL, KEY)
    (tmp_path / "shared" / "other").touch()
    shared.release()
    assert [path.name for path in (tmp_path / "shared").iterdir()] == ["other"]


def test_release_leaves_the_note_of_another_lab(tmp_path: Path) -> None:
    """Whose note it is decides, not whose directory."""
    claim = state.claim(tmp_path, URL, KEY)
    write_note(tmp_path, os.getppid(), 1)
    claim.release()
    assert state.read(tmp_path) is not None


def test_a_lab_that_lives_keeps_its_directory(tmp_path: Path) -> None:
    """The refusal names the process, and says what to do."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other:
        identity = identify(other.pid)
        assert identity is not None
        write_note(tmp_path, other.pid, identity.started)
        for refuse in (lambda: state.refuse_second(tmp_path), lambda: state.claim(tmp_path, URL, KEY)):
            with pytest.raises(LabError, match=rf"already up \(process {other.pid}, {URL}\).*--state-dir"):
                refuse()
        other.kill()
    state.claim(tmp_path, URL, KEY)


def test_a_reused_process_number_is_no_lab(tmp_path: Path) -> None:
    """The number of the note's process belongs to another one now: its start time differs."""
    own = identify(os.getppid())
    assert own is not None
    write_note(tmp_path, own.pid, own.started - 1)
    note = state.read(tmp_path)
    assert note is not None
    assert not note.alive
    state.claim(tmp_path, URL, KEY)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"pid": "x", "started": 1, "control_url": "", "key": ""}', "\xff"]
)
def test_a_note_that_makes_no_sense_is_none(tmp_path: Path, text: str) -> None:
    """And hinders no other lab."""
    (tmp_path / "lab.json").write_bytes(text.encode("latin-1"))
    assert state.read(tmp_path) is None
    state.claim(tmp_path, URL, KEY)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, place: str) -> None:
    """In a sentence, with the option to change."""
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match=f"state directory {tmp_path / place} cannot be written.*--state-dir"):
        state.claim(tmp_path / place, URL, KEY)


def test_too_little_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence says how much there is, where, and how much is needed."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 100 * 2**20))
    with pytest.raises(LabError, match=f"only 100 MB are free in {tmp_path}, and the lab needs 400 MB"):
        preconditions.require_disk(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 0, 400 * 2**20))
    preconditions.require_disk(tmp_path)


def test_a_disk_too_full_for_any_temporary_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """tempfile tries to write and finds no place: a sentence, not its exception."""

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(LabError, match="no temporary file can be made"):
        state.temporary_dir()


def test_the_state_directory_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the user's run-time directory where there is one, else among the temporary files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert state.default_state_dir() == tmp_path / f"beacon-lab-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    assert state.default_state_dir() == Path(tempfile.gettempdir()) / f"beacon-lab-{os.getuid()}"


def test_the_ready_file_replaces_a_dead_labs_and_goes_away(tmp_path: Path) -> None:
    """Prepared: none is there. Written: whole, and nothing else. Removed: none."""
    path = tmp_path / "ready.json"
    path.write_text("stale")
    ready_file = state.ReadyFile(path)
    ready_file.prepare()
    assert list(tmp_path.iterdir()) == []
    ready_file.write({"dns": 1})
    assert list(tmp_path.iterdir()) == [path]
    assert json.loads(path.read_text()) == {"dns": 1}
    ready_file.remove()
    ready_file.remove()
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_can_ever_read_the_ready_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the secret key: 0600 before the first byte is written, over what was left, with any umask."""
    path = tmp_path / "ready.json"
    left = tmp_path / ".ready.json.new"
    left.touch(mode=0o644)
    modes: list[int] = []
    real = json.dumps

    def looking(value: object, *, indent: int) -> str:
        modes.extend(stat.S_IMODE(found.stat().st_mode) for found in tmp_path.iterdir())
        return real(value, indent=indent)

    monkeypatch.setattr("beacon_lab.state.json.dumps", looking)
    before = os.umask(0)
    try:
        state.ReadyFile(path).write({"credentials": {"secret_access_key": "k"}})
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_ready_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """In a directory that is not there, or where a directory stands."""
    (tmp_path / "directory").mkdir()
    for path in (tmp_path / "missing" / "ready.json", tmp_path / "directory"):
        with pytest.raises(LabError, match=f"the ready file {path} cannot be written: "):
            state.ReadyFile(path).prepare()


def test_a_port_on_which_a_process_listens_is_refused() -> None:
    """By the kind of socket; 0 and a free one pass."""
    require_port("--dns-port", 0, socket.SOCK_STREAM, socket.SOCK_DGRAM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            LabError, match=f"port {port} on 127.0.0.1 is in use: choose another with --aws-port"
        ):
            require_port("--aws-port", port, socket.SOCK_STREAM)
        require_port("--dns-port", port, socket.SOCK_DGRAM)
    require_port("--aws-port", port, socket.SOCK_STREAM)
