"""The lab's command line: what it parses, what it prints, and how it ends."""

import asyncio
import json
import shlex
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from beacon_lab import cli, control, state
from beacon_lab.errors import LabError
from beacon_lab.faults import Extent, FaultKind
from beacon_lab.scenarios.consumer_process import ConsumerTally
from beacon_lab.scenarios.up import what_to_try
from beacon_lab.settings import LabSettings

READY = {
    "aws_endpoint_url": "http://127.0.0.1:1",
    "credentials": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "secret"},
    "ca_file": "/lab/ca.pem",
    "record_name": "db.orders.example",
    "dns": {"host": "127.0.0.1", "port": 2, "by_region": {"us-east-1": {"host": "127.0.0.1", "port": 3}}},
    "regions": {
        "us-east-1": {
            "health_url": "https://localhost:4/live/x/health",
            "dsql": {
                "host": "abcdefghijklmnopqrstuvwxyz.dsql.us-east-1.on.aws",
                "address": "127.0.0.1",
                "port": 5,
                "user": "operator",
                "database": "postgres",
            },
        },
        "us-east-2": {
            "health_url": "https://localhost:7/live/x/health",
            "dsql": {
                "host": "bcdefghijklmnopqrstuvwxyza.dsql.us-east-2.on.aws",
                "address": "127.0.0.1",
                "port": 8,
                "user": "operator",
                "database": "postgres",
            },
        },
    },
    "ssm": {"endpoint": "/orders/lab/dsql/endpoint", "document": "/orders/lab/dsql/document"},
    "control_url": "http://127.0.0.1:6",
}


class FakeLab:
    """Remembers its orders."""

    def __init__(self) -> None:
        self.orders: list[tuple[str, ...]] = []
        self.limits: list[float | None] = []

    def ready(self) -> dict[str, object]:
        return dict(READY)

    def status(self) -> dict[str, object]:
        faults = [kind for _, kind in (order for order in self.orders if len(order) == 2)]
        return {"regions": {"us-east-1": {"health_check": "healthy", "faults": faults}}}

    async def inject(
        self, region: str, kind: FaultKind, extent: Extent, *, limit_s: float | None = None
    ) -> None:
        if region != "us-east-1":
            raise LabError(f"there is no Region {region!r}")
        self.orders.append((region, extent.words(kind)))
        self.limits.append(limit_s)

    async def heal(self, region: str, kind: FaultKind | None = None) -> None:
        self.orders.append((region,) if kind is None else (region, "end", kind.value))


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[FakeLab]:
    """A control server in a thread, and its note in ``tmp_path``."""
    fake, started, end = FakeLab(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    server = control.Control()
    server.open_to(fake)

    async def serve() -> None:
        await server.start()
        started.set()
        await end.wait()
        await server.stop()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(10)
    claim = state.claim(tmp_path, server.url, server.key)
    try:
        yield fake
    finally:
        claim.release()
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()


def test_an_order_reaches_the_lab_and_its_status_is_shown(
    lab: FakeLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`fault` and `heal` print what `status` would."""
    where = ["--state-dir", str(tmp_path)]
    assert cli.main(["fault", "us-east-1", "ssm-down", *where]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["us-east-1", "healthy", "ssm-down"]
    assert cli.main(["heal", "us-east-1", *where]) == 0
    assert lab.orders == [("us-east-1", "ssm-down"), ("us-east-1",)]
    capsys.readouterr()
    assert cli.main(["status", "--json", *where]) == 0
    assert json.loads(capsys.readouterr().out) == lab.status()


def test_an_extent_reaches_the_lab(lab: FakeLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A share, a way and a seed; what a kind does not have is refused with what it has."""
    where = ["--state-dir", str(tmp_path)]
    flaky = ["fault", "us-east-1", "dsql-flaky", *where]
    assert cli.main([*flaky, "--share", "30", "--way", "hang", "--seed", "7"]) == 0
    assert lab.orders == [("us-east-1", "dsql-flaky 30 % hang")]
    capsys.readouterr()
    for wrong, sentence in (
        ([*flaky, "--share", "0"], "a share is 1-100 %, not 0"),
        ([*flaky, "--way", "melt"], "dsql-flaky has no way 'melt': choose error, hang"),
        (["fault", "us-east-1", "ssm-down", "--share", "5", *where], "ssm-down takes no share"),
        (["fault", "us-east-1", "dsql-far", "--seed", "5", *where], "dsql-far takes no share and no seed"),
        (["fault", "us-east-1", "dsql-freeze", "--way", "hang", *where], "dsql-freeze has no way 'hang'"),
    ):
        assert cli.main(wrong) == 2
        assert sentence in capsys.readouterr().err
    assert len(lab.orders) == 1


def test_a_limit_reaches_the_lab_and_one_fault_can_be_ended_alone(
    lab: FakeLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A limit that is none, and a kind that is none, are refused."""
    where = ["--state-dir", str(tmp_path)]
    assert cli.main(["fault", "us-east-1", "dsql-freeze", "--for", "2.5", *where]) == 0
    assert cli.main(["fault", "us-east-1", "ssm-down", *where]) == 0
    assert lab.limits == [2.5, None]
    for wrong in ("0", "-1", "nan", "soon", "1e9"):
        assert cli.main(["fault", "us-east-1", "dsql-freeze", f"--for={wrong}", *where]) == 2
        assert "for is 1 to 86400 seconds" in capsys.readouterr().err
    note = state.read(tmp_path)
    assert note is not None
    control.call(note.control_url, "/heal", {"region": "us-east-1", "kind": "dsql-freeze"})
    assert lab.orders[-1] == ("us-east-1", "end", "dsql-freeze")
    with pytest.raises(LabError, match="there is no fault 'melt'"):
        control.call(note.control_url, "/heal", {"region": "us-east-1", "kind": "melt"})
    assert len(lab.orders) == 3


def test_a_token_is_for_the_host_and_the_role_of_the_arguments(
    lab: FakeLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing but the token is printed, so that a shell can take it."""
    for more, action in (([], "DbConnect"), (["--admin"], "DbConnectAdmin")):
        assert cli.main(["token", "us-east-1", "--state-dir", str(tmp_path), *more]) == 0
        token = capsys.readouterr().out
        assert token.startswith(f"{'abcdefghijklmnopqrstuvwxyz.dsql.us-east-1.on.aws'}/?Action={action}&")
        assert token.count("\n") == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer \xe9"}])
def test_where_the_lab_is_needs_the_key_of_its_note(
    lab: FakeLab, tmp_path: Path, headers: dict[str, str]
) -> None:
    """Any user of the machine can reach the port, and /ready holds secrets: 403, and none of them."""
    note = state.read(tmp_path)
    assert note is not None
    assert (tmp_path / "lab.json").stat().st_mode & 0o777 == 0o600
    assert control.call(note.control_url, "/ready", key=note.key) == READY
    request = urllib.request.Request(f"{note.control_url}/ready", headers=headers)  # noqa: S310 - our own
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused, direct.open(request, timeout=10):
        pass
    with refused.value as answer:
        assert (answer.code, list(json.loads(answer.read()))) == (403, ["error"])


def test_no_order_is_taken_before_the_lab_is_up_or_while_it_goes_down() -> None:
    """Each is refused with a sentence."""

    async def scenario() -> None:
        server = control.Control()
        await server.start()
        try:
            await refused(server)
            server.open_to(FakeLab())
            assert await asyncio.to_thread(control.call, server.url, "/status")
            server.shut()
            await refused(server)
        finally:
            await server.stop()

    async def refused(server: control.Control) -> None:
        orders = (("/ready", None), ("/status", None), ("/heal", {"region": "us-east-1"}))
        for path, order in orders:
            with pytest.raises(LabError, match="still starting, or already going down"):
                await asyncio.to_thread(control.call, server.url, path, order, key=server.key)

    asyncio.run(scenario())


def test_what_the_lab_refuses_is_said_and_ends_with_2(
    lab: FakeLab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lab's sentence, on the standard error."""
    assert cli.main(["fault", "us-east-9", "ssm-down", "--state-dir", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "beacon-lab: there is no Region 'us-east-9'\n")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"[]"),
        ("application/json", b"{"),
        ("application/json", b"\xff"),
        ("application/json", b'{"region": "us-east-1", "kind": "dsql-melt"}'),
        ("text/plain", b'{"region": "us-east-1", "kind": "ssm-down"}'),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    lab: FakeLab, tmp_path: Path, media_type: str, body: bytes
) -> None:
    """400 and a sentence; what a web page could send without asking, plain text, is no order either."""
    note = state.read(tmp_path)
    assert note is not None
    request = urllib.request.Request(  # noqa: S310 - a URL of our own
        f"{note.control_url}/fault", data=body, headers={"Content-Type": media_type}
    )
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as refused, direct.open(request, timeout=10):
        pass
    with refused.value as answer:
        assert (answer.code, list(json.loads(answer.read()))) == (400, ["error"])
    assert lab.orders == []


class Rude(BaseHTTPRequestHandler):
    """Answers with what is no JSON, or hangs up."""

    answer = b"HTTP/1.0 200 OK\r\n\r\n<html>"

    def do_GET(self) -> None:
        self.wfile.write(self.answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.0 200 OK\r\n\r\n<html>", b"", b"SSH-2.0\r\n", b"HTTP/1.0 500 No\r\n\r\n"]
)
def test_another_service_at_the_labs_address_is_reported(
    monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    """The port of a dead lab may belong to another program: a sentence, not its parser's exception."""
    monkeypatch.setattr(Rude, "answer", answer)
    with HTTPServer(("127.0.0.1", 0), Rude) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        with pytest.raises(LabError, match="the lab"):
            control.call(f"http://127.0.0.1:{server.server_port}", "/status")
        thread.join(10)


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--speed", "0.5"],
        ["up", "--speed", "21"],
        ["up", "--speed", "inf"],
        ["up", "--speed", "nan"],
        ["up", "--policy", "multivalue"],
        ["up", "--aws-port", "-1"],
        ["up", "--aws-port", "٣"],
        ["fault", "us-east-1"],
        ["fault", "us-east-1", "nothing"],
        ["demo", "--ready-file", "x"],
        [],
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """In argparse's way, before anything is started."""
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_the_help_of_fault_explains_every_kind(capsys: pytest.CaptureFixture[str]) -> None:
    """Each by its name and what it does."""
    with pytest.raises(SystemExit):
        cli.main(["fault", "--help"])
    text = capsys.readouterr().out
    for kind in FaultKind:
        assert f"{kind.value:<15}{kind.description}" in text
        for way, what in kind.ways.items():
            assert f"--way {way}: {what}" in text


def test_what_to_try_can_be_pasted_into_a_shell() -> None:
    """Each line splits as shell words, a state directory with a blank in it too."""
    lines = what_to_try(READY, "/lab/two words")
    for line in lines:
        shlex.split(line, comments=True)  # raises ValueError for what a shell could not read
    assert "  beacon-lab heal us-east-1 --state-dir '/lab/two words'" in lines


def test_what_to_try_names_the_peer_of_the_region_that_it_freezes() -> None:
    """psql does not hang at a frozen endpoint: another Region's is named, and each wait has a limit."""
    lines = what_to_try(READY, None)
    assert "  beacon-lab fault us-east-1 dsql-freeze" in lines
    commands = [line for line in lines if "psql" in line and not line.lstrip().startswith("#")]
    assert len(commands) == 3
    (host,) = [line for line in lines if "PGHOST=" in line]
    assert "PGHOST=bcdefghijklmnopqrstuvwxyza.dsql.us-east-2.on.aws " in host
    assert any("PGCONNECT_TIMEOUT=5" in line for line in lines)
    assert all("timeout 30 psql -w " in command for command in commands)
    drain, release = commands[1:]
    for command, script in ((drain, "drain"), (release, "release")):
        assert command.lstrip().startswith("timeout 30 psql ")
        assert "-v service=orders-lab -v target=dsql -v region=us-east-1" in command
        assert command.endswith(f"-f sql/{script}.sql")
    assert any("beacon-lab token us-east-2" in line for line in lines)


def test_a_service_is_named_by_app_and_environment() -> None:
    """As the template names it."""
    assert LabSettings(app="shop", env="prod").service == "shop-prod"


def test_a_tally_counts_attempts_rows_and_gaps() -> None:
    """The longest gap is between two commits, from the first attempt on, and up to the end."""
    tally = ConsumerTally()
    good, bad = (
        {"acknowledged": True, "problem": ""},
        {"acknowledged": False, "problem": "timeout", "id": "x"},
    )
    tally.add(bad, 10.0)
    tally.add(good | {"id": "a"}, 13.0)
    assert tally.longest_gap_s == 3.0
    tally.add(good | {"id": "b"}, 13.5)
    tally.add(bad, 15.0)
    tally.add(bad, 17.0)
    assert tally.longest_gap_s == 3.0
    tally.end(18.5)
    assert tally.acknowledged == {"a", "b"}
    assert tally.summary() == {
        "attempts": 5,
        "failed": 3,
        "acknowledged": 2,
        "longest_gap_s": 5.0,
        "problems": {"timeout": 3},
    }


def test_a_tally_of_nothing_has_no_gap() -> None:
    """A consumer that never said anything."""
    tally = ConsumerTally()
    tally.end(5.0)
    assert (tally.attempts, tally.longest_gap_s) == (0, 0.0)
