"""TLS without a socket: ciphertext in, plaintext out, and the other way round.

The front holds the raw connection itself, so that it can fall silent, drip or reset at any byte, in the
middle of a handshake too.
"""

import contextlib
import ssl
from weakref import WeakKeyDictionary

from beacon_lab.network.pki import Certificate

__all__ = ["TlsChannel", "TlsIdentity"]

ALPN = "postgresql"
_CHUNK = 256 * 1024


class TlsIdentity:
    """A server's certificate, ready to be shown to any number of clients."""

    def __init__(self, certificate: Certificate) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate.cert_file, certificate.key_file)
        context.set_alpn_protocols([ALPN])
        context.sni_callback = self._remember_name
        self._context = context
        self._names: WeakKeyDictionary[ssl.SSLObject | ssl.SSLSocket, str] = WeakKeyDictionary()

    def channel(self) -> "TlsChannel":
        """The server's side of one new connection."""
        return TlsChannel(self._context, self._names)

    def _remember_name(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _context: ssl.SSLContext
    ) -> None:
        # Any name goes through the handshake: DSQL refuses a wrong or missing one with a sentence.
        if name is not None:
            self._names[connection] = name


class TlsChannel:
    """The server's side of one TLS connection."""

    def __init__(
        self,
        context: ssl.SSLContext,
        names: WeakKeyDictionary[ssl.SSLObject | ssl.SSLSocket, str],
    ) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._names = names
        self.established = False
        #: Whether the client said that it sends nothing more.
        self.ended = False

    @property
    def server_name(self) -> str | None:
        """The name that the client asked for (SNI), in lower case; None if it asked for none."""
        name = self._names.get(self._tls)
        return None if name is None else name.lower()

    @property
    def speaks_postgresql(self) -> bool:
        """Whether ALPN settled on PostgreSQL, which direct TLS requires."""
        return self._tls.selected_alpn_protocol() == ALPN

    def receive(self, data: bytes) -> bytes:
        """Take ciphertext; return the plaintext that it completes. Raises ssl.SSLError."""
        self._incoming.write(data)
        found = []
        try:
            if not self.established:
                self._tls.do_handshake()
                self.established = True
            while chunk := self._tls.read(_CHUNK):
                found.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        return b"".join(found)

    def send(self, data: bytes) -> None:
        """Take plaintext; the ciphertext is then in ``outgoing``."""
        self._tls.write(data)

    def say_goodbye(self) -> None:
        """Tell the client that nothing more comes, as far as the state allows it."""
        if self.established:
            # The client has not said goodbye yet; and the lab does not wait for it.
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()

    def outgoing(self) -> bytes:
        """The ciphertext that is ready to be sent."""
        return self._outgoing.read() if self._outgoing.pending else b""
