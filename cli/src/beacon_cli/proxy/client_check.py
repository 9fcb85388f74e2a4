"""Whether a client may use the proxy: by SCRAM-SHA-256 with a password, or by its process's user.

On a loopback address or a Unix socket no password is needed unless the operator asks for one. A password
never crosses the wire: SCRAM proves on both sides that it is known. There is no channel binding, because the
client's side has no TLS.

Sources: RFC 5802 and RFC 7677 (SCRAM), PostgreSQL documentation, "SASL Authentication"; unix(7), SO_PEERCRED.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import secrets
import socket
import struct
from typing import Final

from beacon_cli.proxy.wire import WireError

__all__ = ["MECHANISM", "ScramServer", "password_problem", "user_id_of"]

MECHANISM: Final = "SCRAM-SHA-256"
_ITERATIONS: Final = 4096
_NONCE_BYTES: Final = 18
_CREDENTIALS: Final = struct.Struct("iII")


def password_problem(password: str) -> str:
    """Why ``password`` cannot be one; empty where it can."""
    if not password:
        return "the password is empty"
    if not password.isascii() or not password.isprintable():
        # Others would have to be normalised by SASLprep, in the same way by every driver.
        return "the password has to be of printable ASCII characters"
    return ""


def user_id_of(connected: socket.socket) -> int | None:
    """The id of the user that the client's process runs as; ``None`` where the system does not say."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or connected.family != socket.AF_UNIX:
        return None
    _, user_id, _ = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size))
    return int(user_id)


class ScramServer:
    """The server's side of one exchange: :meth:`challenge`, then :meth:`verify`."""

    def __init__(self, password: str) -> None:
        self._salt, self._stored_key, self._server_key = _verifier(password)
        self._header = self._nonce = self._client_first = self._server_first = ""

    def challenge(self, body: bytes) -> bytes:
        """The server's first message, to the body of SASLInitialResponse. Raises :class:`WireError`."""
        mechanism, _, rest = body.partition(b"\0")
        if mechanism != MECHANISM.encode() or len(rest) < 4:
            raise WireError(f"only {MECHANISM} is supported")
        text = _text(rest[4:])
        if not text.startswith(("n,", "y,")):
            raise WireError("channel binding is not supported")
        header_end = text.find(",", 2)
        self._client_first = text[header_end + 1 :]
        nonce = _attributes(self._client_first).get("r", "")
        if header_end < 0 or not nonce or "m" in _attributes(self._client_first):
            raise WireError("malformed SCRAM message")
        self._header = text[: header_end + 1]
        self._nonce = nonce + base64.b64encode(secrets.token_bytes(_NONCE_BYTES)).decode()
        salt = base64.b64encode(self._salt).decode()
        self._server_first = f"r={self._nonce},s={salt},i={_ITERATIONS}"
        return self._server_first.encode()

    def verify(self, body: bytes) -> bytes | None:
        """The server's last message, or None for a wrong password. Raises :class:`WireError`."""
        text = _text(body)
        without_proof, _, proof_text = text.rpartition(",p=")
        attributes = _attributes(without_proof)
        expected = base64.b64encode(self._header.encode()).decode()
        if attributes.get("c") != expected or attributes.get("r") != self._nonce:
            raise WireError("malformed SCRAM message")
        try:
            proof = base64.b64decode(proof_text, validate=True)
        except binascii.Error:
            raise WireError("malformed SCRAM message") from None
        signed = f"{self._client_first},{self._server_first},{without_proof}".encode()
        signature = _mac(self._stored_key, signed)
        if len(proof) != len(signature):
            return None
        key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(key).digest(), self._stored_key):
            return None
        return b"v=" + base64.b64encode(_mac(self._server_key, signed))


@functools.lru_cache(maxsize=1)
def _verifier(password: str) -> tuple[bytes, bytes, bytes]:
    """Salt, stored key and server key: the same for each client, as PostgreSQL keeps them for a role."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    return salt, hashlib.sha256(_mac(salted, b"Client Key")).digest(), _mac(salted, b"Server Key")


def _mac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _text(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        raise WireError("malformed SCRAM message") from None


def _attributes(text: str) -> dict[str, str]:
    return {part[:1]: part[2:] for part in text.split(",") if part[1:2] == "="}
