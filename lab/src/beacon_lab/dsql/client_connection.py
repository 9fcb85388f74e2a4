"""One client's connection to a DSQL front: encryption, login, then PostgreSQL behind the relay's rules.

The connection is a state machine that is driven by what arrives:

| stage | the client sends | answer |
| --- | --- | --- |
| OPENING | 0x16: a TLS handshake at once | handshake, ALPN required |
| OPENING | SSLRequest | ``S``, then the handshake |
| OPENING | GSSENCRequest | ``N`` |
| OPENING | CancelRequest | passed on, connection closed |
| OPENING | StartupMessage | refused: TLS is mandatory |
| STARTING | StartupMessage | refused without SNI; else asks for the token |
| PASSWORD | PasswordMessage | refused, or a connection to PostgreSQL as that role |
| RELAYING | anything | as the relay says |
"""

import asyncio
import ssl
from enum import Enum, auto, unique

from beacon_lab.dsql import pgwire
from beacon_lab.dsql.backend import Backend, send_cancel
from beacon_lab.dsql.chance import RESET
from beacon_lab.dsql.gate import NO_TLS, FrontState, Gate
from beacon_lab.dsql.outlet import Outlet
from beacon_lab.dsql.relay import HungError, Relay
from beacon_lab.dsql.rules import Refusal
from beacon_lab.network.tls_channel import TlsChannel

__all__ = ["ClientConnection"]

LOGIN_LIMIT_S = 60.0
_TERMINATED = Refusal("57P01", "terminating connection due to administrator command")
_TOO_OLD = Refusal("57P01", "terminating connection: the limit of a connection's duration is reached")


@unique
class Stage(Enum):
    """How far a connection has come."""

    OPENING = auto()
    STARTING = auto()
    PASSWORD = auto()
    RELAYING = auto()
    OVER = auto()


class ClientConnection(asyncio.Protocol):
    """The client's end of one connection. ``closed`` is done once the socket is."""

    def __init__(self, gate: Gate, open_connections: set["ClientConnection"]) -> None:
        self._gate = gate
        self._open_connections = open_connections
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._stage = Stage.OPENING
        self._outlet = Outlet(gate, self._loop)
        self._direct = False
        self._raw = b""
        self._cutter = pgwire.MessageCutter(pgwire.MAX_OPENING)
        self._startup: pgwire.Startup | None = None
        self._relay: Relay | None = None
        self._backend: Backend | None = None
        self._frozen = False
        self._deaf = False
        self._silenced = False
        # Pieces of the login that have come in and wait for their turn.
        self._queued = 0
        self._counted = False
        self._limit: asyncio.TimerHandle | None = None

    # The socket's events.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a stream by construction
        self._outlet.open(transport)
        self._open_connections.add(self)
        self._limit = self._loop.call_later(LOGIN_LIMIT_S, self._expire, None)
        if self._gate.state is FrontState.FROZEN:
            self.freeze()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; those of a login wait for their turn."""
        if self._stage is Stage.RELAYING and not self._queued:
            self._receive(data)
        else:
            self._queued += 1
            self._gate.logins.run(lambda: self._receive_in_turn(data))

    def _receive_in_turn(self, data: bytes) -> None:
        self._queued -= 1
        self._receive(data)

    def _receive(self, data: bytes) -> None:
        if self._deaf or self._frozen or self._stage is Stage.OVER:
            return
        if self._gate.state is FrontState.RESETTING:
            self.reset()
            return
        try:
            if self._outlet.tls is None:
                data = self._open(data)
            if self._outlet.tls is not None and data:
                self._decrypt(self._outlet.tls, data)
        except pgwire.WireError as error:
            self._refuse(Refusal("08P01", str(error)))
        except ssl.SSLError:
            self._outlet.flush()
            self._close()

    def eof_received(self) -> bool:
        """The client sends nothing more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio passes it
        """The socket is gone."""
        self._stage = Stage.OVER
        self._open_connections.discard(self)
        self._outlet.forget()
        if self._limit is not None:
            self._limit.cancel()
        self._drop_backend()
        if self._counted:
            self._gate.limit.leave()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        """The client reads more slowly than PostgreSQL answers."""
        if self._backend is not None:
            self._backend.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._backend is not None and not self._frozen:
            self._backend.resume_reading()

    # What a front does to its connections.

    def freeze(self) -> None:
        """Nothing moves any more, in either direction."""
        self._frozen = True
        self._outlet.freeze()
        if self._backend is not None:
            self._backend.pause_reading()

    @property
    def stalled(self) -> bool:
        """Whether the connection was frozen or silenced: a fault that ends with an RST at ``heal``."""
        return self._frozen or self._silenced

    def swallow(self) -> None:
        """What the client sends is read and dropped until the connection ends; the server's side is gone."""
        self._deaf = True
        self._drop_backend()

    def silence(self) -> None:
        """A connection that has logged in gets no answer any more; one that logs in at present finishes that.

        PostgreSQL's side is closed, so that an abandoned transaction holds no locks.
        """
        if self._relay is not None and self._relay.logged_in:
            self._silenced = True
            self.swallow()

    def reset(self) -> None:
        """The client gets RST."""
        self._stage = Stage.OVER
        self._drop_backend()
        self._outlet.reset()

    def terminate(self) -> None:
        """The server ends the connection, with a word to a client that has logged in."""
        if self._stage is Stage.RELAYING and not self._deaf and not self._frozen:
            self._refuse(_TERMINATED)
        else:
            self.reset()

    def quicken(self) -> None:
        """Send at once what was held back for slowness."""
        self._outlet.quicken()

    # Before TLS.

    def _open(self, data: bytes) -> bytes:
        """Handle what comes before TLS; return the bytes that belong to TLS."""
        self._raw += data
        while True:
            if self._raw[:1] == b"\x16":
                self._direct = True
                return self._start_tls()
            found = pgwire.read_opening(self._raw)
            if found is None:
                return b""
            opening, length = found
            self._raw = self._raw[length:]
            if opening is pgwire.Encryption.TLS:
                if self._raw:
                    raise pgwire.WireError("received unencrypted data after SSL request")
                self._outlet.send_now(b"S")
                return self._start_tls()
            if opening is pgwire.Encryption.GSS:
                self._outlet.send_now(b"N")
            elif isinstance(opening, pgwire.CancelRequest):
                self._cancel(opening)
                return b""
            else:
                self._refuse(NO_TLS)
                return b""

    def _start_tls(self) -> bytes:
        self._outlet.tls = self._gate.identity.channel()
        self._stage = Stage.STARTING
        rest, self._raw = self._raw, b""
        return rest

    def _cancel(self, request: pgwire.CancelRequest) -> None:
        send_cancel(self._gate.backend, request.packet)
        self._close()

    # In TLS.

    def _decrypt(self, tls: TlsChannel, data: bytes) -> None:
        before = tls.established
        plain = tls.receive(data)
        self._outlet.flush()
        if tls.established and not before and self._direct and not tls.speaks_postgresql:
            self._close()
            return
        if plain:
            self._take(plain)
        if tls.ended and self._stage is not Stage.OVER:
            self._close()

    def _take(self, plain: bytes) -> None:
        if self._stage is Stage.STARTING:
            self._raw += plain
            found = pgwire.read_opening(self._raw)
            if found is None:
                return
            opening, length = found
            plain, self._raw = self._raw[length:], b""
            self._start(opening)
        for packet in self._cutter.feed(plain) if plain else ():
            if self._stage is Stage.PASSWORD:
                self._log_in(packet)
            elif self._stage is Stage.RELAYING:
                self._pass_on(packet)

    def _start(self, opening: pgwire.Opening) -> None:
        if isinstance(opening, pgwire.CancelRequest):
            self._cancel(opening)
            return
        if not isinstance(opening, pgwire.Startup):
            raise pgwire.WireError("encryption was requested twice")
        tls = self._outlet.tls
        refusal = self._gate.greet(None if tls is None else tls.server_name, opening)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._startup = opening
        unknown = [name for name in opening.parameters if name.startswith("_pq_.")]
        if opening.minor or unknown:
            self._outlet.send(pgwire.negotiate_version(unknown))
        self._stage = Stage.PASSWORD
        self._outlet.send(pgwire.authentication_cleartext())

    def _log_in(self, packet: bytes) -> None:
        startup = self._startup
        assert startup is not None  # noqa: S101 - the stage says so
        gate = self._gate
        refusal = gate.admit(startup.user, pgwire.read_password(packet))
        if refusal is RESET:
            self.reset()
            return
        if refusal is not None:
            self._refuse(refusal)
            return
        self._counted = True
        self._stage = Stage.RELAYING
        self._cutter.limit = pgwire.MAX_MESSAGE
        self._relay = Relay(startup.user, gate.disturbance, gate.grants.apply)
        parameters = {k: v for k, v in startup.parameters.items() if not k.startswith("_pq_.")}
        self._backend = Backend(self._loop, gate.backend, parameters, self._answer, self._backend_lost)
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self._loop.call_later(gate.connection_limit_s, self._expire, _TOO_OLD)

    def _pass_on(self, packet: bytes) -> None:
        if self._gate.state is FrontState.SILENT:
            self.silence()
        if self._relay is None or self._backend is None or self._deaf:
            return
        try:
            self._backend.send(self._relay.from_client(packet))
        except HungError:
            self.silence()

    # From PostgreSQL.

    def _answer(self, packets: list[bytes]) -> None:
        """Whole messages from PostgreSQL."""
        if self._frozen or self._deaf or self._relay is None or self._stage is Stage.OVER:
            return
        answers = map(self._relay.from_server, packets)
        if self._gate.slowness is None:
            self._outlet.send(b"".join(answers))
        else:
            for answer in answers:
                self._outlet.send(answer)

    def _backend_lost(self) -> None:
        """PostgreSQL has closed its end; it said why before, if it could."""
        if self._stage is not Stage.RELAYING or self._frozen or self._deaf:
            return
        self.quicken()
        self._close()

    # The end.

    def _refuse(self, refusal: Refusal) -> None:
        """The last word: an error that ends the connection."""
        if self._stage is Stage.OVER:
            return
        text, hint = refusal.message, refusal.hint
        if self._outlet.tls is None or self._outlet.tls.established:
            self._outlet.send(pgwire.error_response(refusal.sqlstate, text, severity="FATAL", hint=hint))
            self.quicken()
        self._close()

    def _expire(self, word: Refusal | None) -> None:
        """A connection's time is over: it logged in too slowly, or it is too old."""
        if self._frozen or self._deaf:
            return
        if word is None:
            self.reset()
        else:
            self._refuse(word)

    def _close(self) -> None:
        self._stage = Stage.OVER
        self._drop_backend()
        self._outlet.finish()

    def _drop_backend(self) -> None:
        if self._backend is not None:
            self._backend.close()
