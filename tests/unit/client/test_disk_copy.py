"""The last good answers on disk: replaced at once, private, and never a reason not to connect."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from beacon.client.disk_copy import DiskCopy

LAYER = Path(sys.modules["beacon.client.disk_copy"].__file__ or "").parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a copy may be."""
    return tmp_path / "beacon.json"


def test_what_is_kept_is_read_by_the_next_process(path: Path) -> None:
    """By the source's name; of others nothing is known."""
    first = DiskCopy(path)
    assert first.read("ssm") is None
    first.write("ssm", 'a "document" \N{SNOWMAN}')
    assert first.read("ssm") == 'a "document" \N{SNOWMAN}'
    following = DiskCopy(path)
    assert following.read("ssm") == 'a "document" \N{SNOWMAN}'
    assert following.read("dns") is None


def test_the_file_is_its_owners_alone(path: Path) -> None:
    """Whatever the umask, also where a file was open to all before."""
    path.write_text("{}")
    path.chmod(0o666)
    before = os.umask(0)
    try:
        DiskCopy(path).write("ssm", "a document")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_replaced_at_once_and_nothing_else_is_left(path: Path) -> None:
    """A process with the old file open reads it to its end: no reader ever meets half a file."""
    copy = DiskCopy(path)
    copy.write("ssm", "first")
    with path.open(encoding="utf-8") as open_file:
        copy.write("ssm", "second")
        assert json.load(open_file) == {"ssm": "first"}
    assert json.loads(path.read_text(encoding="utf-8")) == {"ssm": "second"}
    assert list(path.parent.iterdir()) == [path]


def test_a_text_that_is_kept_already_is_not_written_again(path: Path) -> None:
    """A record that does not move costs no write each few seconds."""
    copy = DiskCopy(path)
    copy.write("dns", "a host")
    path.unlink()
    copy.write("dns", "a host")
    assert not path.exists()
    copy.write("dns", "another host")
    assert DiskCopy(path).read("dns") == "another host"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'{"ssm": 1, "dns": null, "list": ["a"]}',
        b"[" * 50_000,
        b"1" * 5_000,
        b'{"ssm": "' + b"x" * 65_536 + b'"}',
    ],
    ids=["empty", "rubbish", "no UTF-8", "null", "a list", "no texts", "deep", "a long number", "oversized"],
)
def test_a_file_that_makes_no_sense_is_ignored_and_replaced(path: Path, content: bytes) -> None:
    """Nothing is known of any source then, and the next answer repairs it."""
    path.write_bytes(content)
    copy = DiskCopy(path)
    assert [copy.read(name) for name in ("ssm", "dns", "list")] == [None, None, None]
    copy.write("ssm", "a document")
    assert json.loads(path.read_text(encoding="utf-8")) == {"ssm": "a document"}


def test_of_a_file_that_makes_some_sense_the_texts_are_taken(path: Path) -> None:
    """What they say is for the sources to judge."""
    path.write_text('{"ssm": "a document", "dns": 1}')
    assert DiskCopy(path).read("ssm") == "a document"


@pytest.mark.parametrize("kind", ["directory", "pipe", "dangling link", "loop"])
def test_what_is_no_file_is_ignored_and_never_waited_for(path: Path, kind: str) -> None:
    """A read of a pipe would never end; this ends at once."""
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path if kind == "loop" else path.parent / "nowhere")
    copies: list[DiskCopy] = []
    thread = threading.Thread(target=lambda: copies.append(DiskCopy(path)), daemon=True)
    thread.start()
    thread.join(5)
    assert [copy.read("ssm") for copy in copies] == [None]
    copies[0].write("ssm", "a document")
    assert copies[0].read("ssm") == "a document"


@pytest.mark.parametrize("place", ["missing/beacon.json", "file/beacon.json", "/proc/beacon.json"])
def test_where_nothing_can_be_written_the_process_remembers_itself(tmp_path: Path, place: str) -> None:
    """No directory, a file in its place, a file system that takes nothing: no exception, and nothing left."""
    (tmp_path / "file").write_text("")
    path = tmp_path / place
    copy = DiskCopy(path)
    copy.write("ssm", "a document")
    assert copy.read("ssm") == "a document"
    assert not path.exists()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_disk_that_is_full_leaves_the_old_file_and_no_remains(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write fails half-way; the next one is tried again."""
    copy = DiskCopy(path)
    copy.write("ssm", "first")

    def full(_source: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        copy.write("ssm", "second")
    assert DiskCopy(path).read("ssm") == "first"
    assert list(path.parent.iterdir()) == [path]
    copy.write("ssm", "third")
    assert DiskCopy(path).read("ssm") == "third"


def test_sources_of_one_process_and_of_another_share_a_file(path: Path) -> None:
    """Neither writes over what the other one keeps for its own source."""
    ours, theirs = DiskCopy(path), DiskCopy(path)
    ours.write("ssm", "a document")
    theirs.write("dns", "a host")
    ours.write("ssm", "a newer document")
    assert json.loads(path.read_text(encoding="utf-8")) == {"ssm": "a newer document", "dns": "a host"}


def test_threads_of_one_process_lose_nothing(path: Path) -> None:
    """One thread for each source writes to the same copy."""
    copy = DiskCopy(path)
    names = [f"source-{number}" for number in range(8)]

    def write(name: str) -> None:
        for round_ in range(10):
            copy.write(name, f"{name} {round_}")

    threads = [threading.Thread(target=write, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert json.loads(path.read_text(encoding="utf-8")) == {name: f"{name} 9" for name in names}


def test_a_reader_meets_a_whole_file_while_processes_write(path: Path) -> None:
    """Two processes write at the same time; whatever is read is one of the states that they wrote."""
    script = (
        "import sys; from pathlib import Path; from beacon.client.disk_copy import DiskCopy\n"
        "copy = DiskCopy(Path(sys.argv[1]))\n"
        "for number in range(200): copy.write(sys.argv[2], sys.argv[2] * 200 + str(number))\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(path), name], env={"PYTHONPATH": str(LAYER)})
        for name in ("a", "b")
    ]
    seen = 0
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            assert set(found) <= {"a", "b"}
            assert all(text.startswith(name * 200) for name, text in found.items())
            seen += 1
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert seen > 0
    assert list(path.parent.iterdir()) == [path]
