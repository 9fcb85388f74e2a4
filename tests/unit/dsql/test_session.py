"""One connection under one deadline, against small servers on loopback that misbehave in every way."""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from beacon.dsql.conninfo import login_options
from beacon.dsql.libpq import VERSION
from beacon.dsql.session import Session, SessionError
from beacon.outcome import Reason
from beacon_lab.network.pki import Authority, Certificate

HOST = "a" * 26 + ".dsql.us-east-1.on.aws"
CANARY = "canary-7f3a"
#: What a promised deadline may be overrun by here, where two cores are shared.
SLACK_S = 0.1

Peer = socket.socket
Script = Callable[[Peer], None]


class Server:
    """Runs a script for each connection it accepts; closing it ends every one of them."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._peers: list[Peer] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads.append(threading.Thread(target=self._accept))
        self._threads[0].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                self._threads.append(threading.Thread(target=self._run, args=(peer,)))
                self._threads[-1].start()

    def _run(self, peer: Peer) -> None:
        # A client that gives up in the middle is what most scripts are about.
        with suppress(OSError, EOFError), peer:
            self._script(peer)

    def close(self) -> None:
        """Stop listening, end all connections, wait for the threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in list(self._peers):
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()


@pytest.fixture
def serve() -> Iterator[Callable[[Script], Server]]:
    """Start servers that are closed after the test."""
    servers: list[Server] = []

    def start(script: Script) -> Server:
        servers.append(Server(script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the sessions of these tests trust."""
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """A good certificate for the host."""
    return authority.issue("good", dns=[HOST])


# ---- what a peer says


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def error(sqlstate: str, text: str = CANARY, severity: str = "ERROR", kind: bytes = b"E") -> bytes:
    fields = f"S{severity}\0V{severity}\0C{sqlstate}\0M{text}\0\0"
    return message(kind, fields.encode())


def rows(*values: bytes | None) -> bytes:
    columns = b"".join(b"c\0" + struct.pack("!IhIhih", 0, 0, 25, -1, -1, 0) for _ in values)
    fields = b"".join(
        struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value for value in values
    )
    return (
        message(b"1")
        + message(b"2")
        + message(b"T", struct.pack("!h", len(values)) + columns)
        + message(b"D", struct.pack("!h", len(values)) + fields)
        + message(b"C", b"SELECT 1\0")
    )


READY = message(b"Z", b"I")
AUTHENTICATED = message(b"R", struct.pack("!I", 0))
LOGIN_OK = AUTHENTICATED + READY


def read_exactly(peer: Peer, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_message(peer: Peer) -> tuple[bytes, bytes]:
    kind = read_exactly(peer, 1)
    (length,) = struct.unpack("!I", read_exactly(peer, 4))
    return kind, read_exactly(peer, length - 4)


def read_until_sync(peer: Peer) -> None:
    while read_message(peer)[0] != b"S":
        pass


def silent(peer: Peer) -> None:
    """Say nothing until the client has gone."""
    while peer.recv(4096):
        pass


def drip(data: bytes) -> Script:
    """Send ``data`` a byte at a time, too slowly for any client."""

    def script(peer: Peer) -> None:
        for byte in data:
            peer.sendall(bytes([byte]))
            time.sleep(0.02)

    return script


def reset(peer: Peer) -> None:
    """Close with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Tls:
    """Turns a script of what happens inside TLS into one of a connection; notes the names asked for."""

    def __init__(self, certificate: Certificate, *, alpn: bool = True) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate.cert_file, certificate.key_file)
        if alpn:
            self._context.set_alpn_protocols(["postgresql"])
        self._context.sni_callback = self._note
        self.names: list[str | None] = []
        self.passwords: list[str] = []

    def _note(self, _socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self.names.append(name)

    def __call__(self, inside: Script) -> Script:
        def script(peer: Peer) -> None:
            with self._context.wrap_socket(peer.dup(), server_side=True) as secure:
                inside(secure)

        return script

    def login(self, answer: bytes, then: Script = silent) -> Script:
        """Ask for a password, answer with ``answer``, continue with ``then``."""

        def inside(peer: Peer) -> None:
            (length,) = struct.unpack("!I", read_exactly(peer, 4))
            read_exactly(peer, length - 4)
            peer.sendall(message(b"R", struct.pack("!I", 3)))
            self.passwords.append(read_message(peer)[1].rstrip(b"\0").decode())
            peer.sendall(answer)
            then(peer)

        return self(inside)

    def query(self, *answers: bytes, then: Script = silent) -> Script:
        """Accept the login, give each query one of ``answers``, continue with ``then``."""

        def talk(peer: Peer) -> None:
            for answer in answers:
                read_until_sync(peer)
                peer.sendall(answer)
            then(peer)

        return self.login(LOGIN_OK, talk)


@pytest.fixture
def tls(certificate: Certificate) -> Tls:
    """TLS with the good certificate."""
    return Tls(certificate)


def connect(
    port: int, ca_file: Path | str, *, within_s: float = 5.0, host: str = HOST, user: str = CANARY
) -> Session:
    options = login_options(
        host=host,
        port=port,
        address="127.0.0.1",
        user=user,
        password=f"{CANARY}' \\ token",
        database="postgres",
        ca_file=str(ca_file),
        libpq_version=VERSION,
    )
    return Session.open(options, time.monotonic() + within_s, time.monotonic)


def refusal(port: int, ca_file: Path | str, *, within_s: float = 5.0) -> SessionError:
    with pytest.raises(SessionError) as caught:
        connect(port, ca_file, within_s=within_s)
    return clean(caught.value)


def failure(session: Session, *, within_s: float = 5.0) -> SessionError:
    with pytest.raises(SessionError) as caught:
        session.query(b"SELECT $1", [CANARY], time.monotonic() + within_s)
    session.close()
    return clean(caught.value)


def clean(error: SessionError) -> SessionError:
    """``error``, once sure that neither it nor what it would be printed with holds a canary."""
    seen: BaseException | None = error
    while seen is not None:
        assert CANARY not in f"{seen!r} {seen} {vars(seen)}"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return error


# ---- connecting


def test_a_session_presents_name_and_password_and_reads_rows(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority
) -> None:
    """SNI is the host although an address is dialled; NULL stays NULL and odd bytes harm nothing."""
    server = serve(tls.query(rows(b"x", None, b"\xff\x00") + READY, rows(b"again") + READY))
    session = connect(server.port, authority.ca_file)
    deadline = time.monotonic() + 5
    assert session.query(b"SELECT", [], deadline) == [("x", None, "\ufffd\x00")]
    assert session.query(b"SELECT", [], deadline) == [("again",)]
    session.close()
    session.close()
    assert tls.names == [HOST]
    assert tls.passwords == [f"{CANARY}' \\ token"]


def test_a_refused_connection_is_refused(authority: Authority) -> None:
    """No server listens."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port: int = unused.getsockname()[1]
    assert refusal(port, authority.ca_file).reason is Reason.REFUSED


@pytest.mark.parametrize("script", [reset, lambda _peer: None], ids=["reset", "end"])
def test_a_connection_that_ends_at_once_is_reset(
    serve: Callable[[Script], Server], authority: Authority, script: Script
) -> None:
    """RST and FIN are the same to a client that waits for an answer."""
    assert refusal(serve(script).port, authority.ca_file).reason is Reason.RESET


def stalls(tls: Tls) -> dict[str, Script]:
    """Every place where a connect can stall."""
    return {
        "silent": silent,
        "drips TLS": drip(b"\x16\x03\x03\x40\x00" + bytes(1000)),
        "silent TLS": tls(silent),
        "silent login": tls.login(b""),
        "drips the login's answer": tls.login(b"", drip(LOGIN_OK * 9)),
        "notices without end": tls.login(AUTHENTICATED, flood),
    }


def flood(peer: Peer) -> None:
    """NOTICE after NOTICE, as fast as they are taken."""
    while True:
        peer.sendall(error("00000", severity="NOTICE", kind=b"N") * 50)


@pytest.mark.parametrize("where", list(stalls(Tls.__new__(Tls))))
def test_a_connect_that_stalls_ends_at_its_deadline(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, where: str
) -> None:
    """Wherever it stalls: a time-out, on time."""
    server = serve(stalls(tls)[where])
    started = time.monotonic()
    assert refusal(server.port, authority.ca_file, within_s=0.2).reason is Reason.TIMEOUT
    assert time.monotonic() - started < 0.2 + SLACK_S


def test_a_deadline_in_the_past_is_a_time_out(
    authority: Authority, serve: Callable[[Script], Server]
) -> None:
    """A look-up may have used all of the time."""
    assert refusal(serve(silent).port, authority.ca_file, within_s=-1).reason is Reason.TIMEOUT


def test_a_certificate_that_does_not_hold_is_reported(
    serve: Callable[[Script], Server], authority: Authority, tmp_path: Path
) -> None:
    """Expired, of another name, or of another authority: never a connection."""
    expired = authority.issue("expired", dns=[HOST], not_after=datetime.now(UTC) - timedelta(hours=1))
    other = authority.issue("other", dns=["b" + HOST[1:]])
    stranger = Authority.create(tmp_path).issue("stranger", dns=[HOST])
    for certificate in (expired, other, stranger):
        server = serve(Tls(certificate).query(rows(b"x") + READY))
        assert refusal(server.port, authority.ca_file).reason is Reason.CERTIFICATE


@pytest.mark.parametrize("content", [None, "", "no certificate"], ids=["missing", "empty", "rubbish"])
def test_a_ca_file_that_cannot_be_used_is_a_fault_of_ours(
    serve: Callable[[Script], Server], tls: Tls, tmp_path: Path, content: str | None
) -> None:
    """It says nothing about the endpoint."""
    ca_file = tmp_path / "certificate.pem"
    if content is not None:
        ca_file.write_text(content)
    assert refusal(serve(tls.query()).port, ca_file).reason is Reason.CONFIGURATION


def test_a_peer_that_speaks_no_tls_fails_at_tls(
    serve: Callable[[Script], Server], certificate: Certificate, authority: Authority
) -> None:
    """Another service on the port, or one that does not know direct TLS."""

    def http(peer: Peer) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        silent(peer)

    assert refusal(serve(http).port, authority.ca_file).reason is Reason.TLS
    without_alpn = Tls(certificate, alpn=False)
    assert refusal(serve(without_alpn.query()).port, authority.ca_file).reason is Reason.TLS


@pytest.mark.parametrize("answer", [error("00000", kind=b"N"), b"HTTP/1.1 400 Bad Request\r\n" * 99])
def test_a_peer_that_does_not_ask_to_log_in_gives_a_bad_answer(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, answer: bytes
) -> None:
    """TLS holds, but it is no PostgreSQL."""

    def talk(peer: Peer) -> None:
        peer.sendall(answer)
        silent(peer)

    assert refusal(serve(tls(talk)).port, authority.ca_file).reason is Reason.BAD_ANSWER


@pytest.mark.parametrize(
    ("sqlstate", "text", "reason"),
    [
        ("28P01", f'password authentication failed for user "{CANARY}"', Reason.LOGIN_REJECTED),
        ("28000", "unable to accept connection, access denied", Reason.LOGIN_REJECTED),
        ("53300", "Unable to accept connection, too many open connections.", Reason.TOO_MANY_CONNECTIONS),
        ("53400", "Unable to accept connection, rate exceeded.", Reason.TOO_MANY_CONNECTIONS),
        ("57P03", "the database system is starting up", Reason.UNAVAILABLE),
        ("3D000", f'database "{CANARY}" does not exist', Reason.LOGIN_REJECTED),
    ],
)
def test_a_refused_login_has_its_reason(
    serve: Callable[[Script], Server],
    tls: Tls,
    authority: Authority,
    *,
    sqlstate: str,
    text: str,
    reason: Reason,
) -> None:
    """The SQLSTATE decides, and is reported."""
    server = serve(tls.login(error(sqlstate, text, "FATAL")))
    found = refusal(server.port, authority.ca_file)
    assert (found.reason, found.sqlstate) == (reason, sqlstate)


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("28000", Reason.LOGIN_REJECTED),
        ("53300", Reason.TOO_MANY_CONNECTIONS),
        ("53400", Reason.TOO_MANY_CONNECTIONS),
        ("57P03", Reason.UNAVAILABLE),
        ("42501", Reason.LOGIN_REJECTED),
        ("XX000", Reason.SERVER_ERROR),
    ],
)
@pytest.mark.parametrize("severity", ["FATAL", "ERROR", "KRITISCH", "ВАЖНО"])
def test_a_refused_login_needs_no_words(
    serve: Callable[[Script], Server],
    tls: Tls,
    authority: Authority,
    *,
    sqlstate: str,
    reason: Reason,
    severity: str,
) -> None:
    """Whatever the server's text and language; words that would mislead do not."""
    text = f"{CANARY}: too many FATAL: 08006 failed: ERROR:  57P01"
    server = serve(tls.login(error(sqlstate, text, severity)))
    found = refusal(server.port, authority.ca_file)
    assert (found.reason, found.sqlstate) == (reason, sqlstate)


# ---- asking


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("40001", Reason.SERVER_ERROR),
        ("42P01", Reason.SERVER_ERROR),
        ("53300", Reason.TOO_MANY_CONNECTIONS),
        ("XX000", Reason.SERVER_ERROR),
    ],
)
def test_a_server_error_keeps_its_sqlstate_and_the_session(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, sqlstate: str, reason: Reason
) -> None:
    """The text goes, the code stays, and the next statement is answered."""
    server = serve(tls.query(error(sqlstate) + READY, rows(b"x") + READY))
    session = connect(server.port, authority.ca_file)
    with pytest.raises(SessionError) as caught:
        session.query(b"SELECT", [], time.monotonic() + 5)
    assert (clean(caught.value).reason, caught.value.sqlstate) == (reason, sqlstate)
    assert session.query(b"SELECT", [], time.monotonic() + 5) == [("x",)]
    session.close()


@pytest.mark.parametrize("sqlstate", [CANARY, "", "4200", "42p01", "420011"])
def test_a_sqlstate_that_is_none_is_not_handed_on(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, sqlstate: str
) -> None:
    """libpq does not look at the field: a server can put anything into it."""
    server = serve(tls.query(error(sqlstate) + READY))
    found = failure(connect(server.port, authority.ca_file))
    assert (found.reason, found.sqlstate) == (Reason.SERVER_ERROR, None)


@pytest.mark.parametrize("then", [lambda _peer: None, reset], ids=["end", "reset"])
def test_a_server_that_ends_the_session_is_believed(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, then: Script
) -> None:
    """It says why before it goes."""
    server = serve(tls.query(error("57P01", severity="FATAL"), then=then))
    found = failure(connect(server.port, authority.ca_file))
    assert (found.reason, found.sqlstate) == (Reason.UNAVAILABLE, "57P01")


@pytest.mark.parametrize("answer", [b"", rows(b"x")], ids=["no answer", "half an answer"])
def test_a_connection_that_ends_before_the_answer_does_is_reset(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, answer: bytes
) -> None:
    """Rows count only when the server says that it is done."""
    server = serve(tls.query(answer, then=lambda _peer: None))
    assert failure(connect(server.port, authority.ca_file)).reason is Reason.RESET


@pytest.mark.parametrize(
    "answer",
    [
        READY,
        message(b"1") + message(b"2") + message(b"n") + message(b"I") + READY,
        message(b"1") + message(b"2") + message(b"G", b"\0\0\0"),
    ],
    ids=["nothing", "empty query", "copy"],
)
def test_an_answer_to_something_else_is_a_bad_answer(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, answer: bytes
) -> None:
    """What is neither rows nor a command's end."""
    server = serve(tls.query(answer))
    assert failure(connect(server.port, authority.ca_file)).reason is Reason.BAD_ANSWER


def test_a_command_has_no_rows(serve: Callable[[Script], Server], tls: Tls, authority: Authority) -> None:
    """For a writer that is fine; who asked for rows has to see that there are none."""
    done = message(b"1") + message(b"2") + message(b"n") + message(b"C", b"SET\0") + READY
    session = connect(serve(tls.query(done)).port, authority.ca_file)
    assert session.query(b"SET", [], time.monotonic() + 5) == []
    session.close()


@pytest.mark.parametrize("then", [silent, drip(rows(b"x" * 999)), flood], ids=["silent", "drips", "notices"])
def test_a_query_that_stalls_ends_at_its_deadline(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, then: Script
) -> None:
    """A frozen server, a slow drip and a flood are a time-out, on time."""

    def talk(peer: Peer) -> None:
        read_until_sync(peer)
        then(peer)

    server = serve(tls.login(LOGIN_OK, talk))
    session = connect(server.port, authority.ca_file)
    started = time.monotonic()
    assert failure(session, within_s=0.2).reason is Reason.TIMEOUT
    assert time.monotonic() - started < 0.2 + SLACK_S


def test_an_answer_that_comes_late_is_the_answer_to_its_own_question(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority
) -> None:
    """After a time-out it can be waited for further; the next question gets the next answer."""
    release = threading.Event()

    def talk(peer: Peer) -> None:
        read_until_sync(peer)
        # Cut between the rows and the end of the answer.
        peer.sendall(rows(b"first"))
        assert release.wait(5)
        peer.sendall(READY)
        read_until_sync(peer)
        peer.sendall(rows(b"second") + READY)
        silent(peer)

    session = connect(serve(tls.login(LOGIN_OK, talk)).port, authority.ca_file)
    with pytest.raises(SessionError) as caught:
        session.query(b"SELECT", [], time.monotonic() + 0.05)
    assert caught.value.reason is Reason.TIMEOUT
    with pytest.raises(SessionError) as caught:
        # It is still busy: nothing else can be asked, so no answer can be taken for another's.
        session.query(b"SELECT", [], time.monotonic() + 0.05)
    release.set()
    session.close()

    release.clear()
    session = connect(serve(tls.login(LOGIN_OK, talk)).port, authority.ca_file)
    with pytest.raises(SessionError):
        session.query(b"SELECT", [], time.monotonic() + 0.05)
    release.set()
    assert session.answer(time.monotonic() + 5) == [("first",)]
    assert session.query(b"SELECT", [], time.monotonic() + 5) == [("second",)]
    session.close()


def test_nothing_is_printed(
    serve: Callable[[Script], Server], tls: Tls, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    """libpq prints notices to standard error by default."""
    notice = error("00000", severity="WARNING", kind=b"N")
    session = connect(serve(tls.query(notice + rows(b"x") + READY)).port, authority.ca_file)
    assert session.query(b"SELECT", [], time.monotonic() + 5) == [("x",)]
    session.close()
    assert capfd.readouterr() == ("", "")


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_no_socket_is_left_after_many_expiries(tls: Tls, authority: Authority) -> None:
    """Two hundred time-outs, while connecting and while asking, leave as many descriptors as before."""
    before = open_descriptors()
    server, login = Server(silent), Server(tls.query())
    for _ in range(160):
        refusal(server.port, authority.ca_file, within_s=0.002)
    for _ in range(40):
        assert failure(connect(login.port, authority.ca_file), within_s=0.002).reason is Reason.TIMEOUT
    server.close()
    login.close()
    assert open_descriptors() == before
