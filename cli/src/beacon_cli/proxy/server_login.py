"""The proxy's own login at an endpoint: direct TLS, verified in full, and the token as the password.

libpq hides the socket and the TLS session of a connection that it has logged in, so nothing can be passed on
through it. This login has those methods of psycopg's ``PGconn`` that a race of the client uses
(:class:`beacon.client.leg.LoggingIn`), and gives its socket away when it has won.

How it failed is said in libpq's words, since :func:`beacon.outcome.classify_refusal` reads those. Of what a
server wrote about a failure, only the SQLSTATE is kept.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import pq

from beacon_cli.proxy import wire

__all__ = ["ServerLogin", "tls_context"]

_ALPN: Final = "postgresql"
_CHUNK: Final = 16_384
_MOST_GREETING: Final = 65_536
_CLEARTEXT, _OK = 3, 0
#: Classes of SQLSTATE by which a server rejects what a client wants: data, authorization, catalog, names.
_REJECTIONS: Final = ("22", "28", "3D", "42")


def tls_context(ca_file: str) -> ssl.SSLContext:
    """What every login shares: the authorities of ``ca_file`` (``system``: OpenSSL's own), and ALPN."""
    context = ssl.create_default_context(cafile=None if ca_file == "system" else ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # As libpq verifies: a chain that it accepts is accepted here.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols([_ALPN])
    return context


class ServerLogin:
    """One login; call :meth:`connect_poll` until it is complete. Never blocks."""

    def __init__(
        self, place: tuple[str, int], host: str, context: ssl.SSLContext, startup: bytes, token: str
    ) -> None:
        self.nonblocking = 1
        #: What the server said before ReadyForQuery: its parameters and notices, whole messages.
        self.greeting = b""
        #: The body of BackendKeyData: what cancels a statement of this session.
        self.key = b""
        #: Whether the server has rejected the role, the database or a parameter.
        self.rejected = False
        self.peer = (*place, host)
        self._context, self._startup, self._token = context, startup, token
        self._out, self._in = b"", bytearray()
        self._failure = ""
        self._tls: ssl.SSLSocket | None = None
        self._step: Callable[[], int | None] = self._connect
        self._status: int = pq.ConnStatus.STARTED
        self._busy = False
        try:
            family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
            self._socket: socket.socket | None = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            self._socket = None
            self._fail("could not create socket")  # a fault of ours: out of descriptors
            return
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            code = self._socket.connect_ex(place)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code not in (0, errno.EINPROGRESS):
            self._fail(os.strerror(code))

    @property
    def socket(self) -> int:
        """The socket's descriptor."""
        return -1 if self._socket is None else self._socket.fileno()

    @property
    def status(self) -> int:
        """``BAD`` when it has failed, ``OK`` when it is logged in."""
        return self._status

    def get_error_message(self) -> str:
        """How it failed."""
        return self._failure

    def connect_poll(self) -> int:
        """Continue, as far as that goes without waiting; what to wait for then."""
        try:
            while self._status == pq.ConnStatus.STARTED:
                if (waits := self._step()) is not None:
                    return waits
        except ssl.SSLWantReadError:
            return pq.PollingStatus.READING
        except (ssl.SSLWantWriteError, BlockingIOError):
            return pq.PollingStatus.WRITING
        except ssl.SSLCertVerificationError:
            self._fail("certificate verify failed")
        except ssl.SSLEOFError:
            self._fail("server closed the connection unexpectedly")
        except ssl.SSLError:
            self._fail("SSL error")
        except wire.WireError:
            self._fail("lost synchronization with server")
        except OSError as error:
            self._fail(os.strerror(error.errno) if error.errno else "connection reset by peer")
        return pq.PollingStatus.FAILED if self._status == pq.ConnStatus.BAD else pq.PollingStatus.OK

    def take_socket(self) -> ssl.SSLSocket:
        """Give the socket to the caller, who closes it from now on; for a login that is complete."""
        if self._tls is None or self._status != pq.ConnStatus.OK:
            raise ValueError("a login that is not complete has no socket to give")
        self._forget()
        return self._tls

    def finish(self) -> None:
        """Close it; calling it again does nothing."""
        self._status = pq.ConnStatus.BAD
        self._forget()
        if self._socket is not None:
            self._socket.close()

    def _forget(self) -> None:
        """Drop the token, and the method that would keep this object until the garbage collector comes."""
        self._token, self._startup, self._step = "", b"", _no_step

    # ---- the answer that a race may ask for

    def send_query(self, command: bytes, /) -> None:
        """Send a statement; :meth:`flush` sends what is left of it."""
        self._busy = True
        self._out += wire.query(command)

    def flush(self) -> int:
        """Send what is left; 1 when something is still left."""
        try:
            self._send()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 1
        except OSError:
            self._lose()
        return 0

    def consume_input(self) -> None:
        """Read what has come; raises ``psycopg.OperationalError`` when the connection is lost."""
        try:
            self._send()
            while self._busy:
                self._busy = self._next_message()[0] != b"Z"
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (OSError, wire.WireError):
            self._lose()

    def is_busy(self) -> int:
        """Whether an answer is missing."""
        return int(self._busy)

    def get_result(self) -> object | None:
        """None: what the answer says does not matter."""
        return None

    def _lose(self) -> None:
        self._fail("server closed the connection unexpectedly")
        raise psycopg.OperationalError(self._failure)

    # ---- the steps; each returns what to wait for, or None when the next one can begin

    def _connect(self) -> int | None:
        assert self._socket is not None  # noqa: S101 - without one, no step is taken
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(os.strerror(code))
            return None
        # The plain socket gives its descriptor to the new one.
        self._socket = self._tls = self._context.wrap_socket(
            self._socket, server_hostname=self.peer[2], do_handshake_on_connect=False
        )
        self._step = self._shake_hands
        return None

    def _shake_hands(self) -> int | None:
        assert self._tls is not None  # noqa: S101 - the step before made it
        self._tls.do_handshake()
        if self._tls.selected_alpn_protocol() != _ALPN:
            self._fail("direct SSL connection was established without ALPN protocol negotiation")
            return None
        self._out = self._startup
        self._step = self._log_in
        return None

    def _log_in(self) -> int | None:
        self._send()
        kind, body = self._next_message()
        if kind == b"R":
            self._authenticate(int.from_bytes(body[:4], "big"))
        elif kind == b"E":
            sqlstate = wire.error_sqlstate(body)
            self.rejected = sqlstate.startswith(_REJECTIONS)
            self._fail(f"FATAL:  {sqlstate}")
        elif kind == b"Z":
            self._status = pq.ConnStatus.OK
        elif kind == b"K":
            self.key = body
        elif kind in (b"S", b"N"):
            self.greeting += wire.message(kind, body)
            if len(self.greeting) > _MOST_GREETING:
                raise wire.WireError("too long a greeting")
        elif kind != b"v":
            raise wire.WireError("unexpected message")
        return None

    def _authenticate(self, code: int) -> None:
        if code == _CLEARTEXT:
            self._out += wire.password_message(self._token)
        elif code != _OK:
            self._fail("expected authentication request for a token")

    def _send(self) -> None:
        assert self._tls is not None  # noqa: S101 - a step before made it
        while self._out:
            self._out = self._out[self._tls.send(self._out) :]

    def _next_message(self) -> tuple[bytes, bytes]:
        assert self._tls is not None  # noqa: S101 - as above
        while (found := wire.whole_message(self._in, _MOST_GREETING)) is None:
            data = self._tls.recv(_CHUNK)
            if not data:
                raise ssl.SSLEOFError
            self._in += data
        del self._in[: len(found[1]) + wire.HEADER]
        return found

    def _fail(self, message: str) -> None:
        self._failure = message
        self._status = pq.ConnStatus.BAD


def _no_step() -> None:
    """The step of a login that is over."""
