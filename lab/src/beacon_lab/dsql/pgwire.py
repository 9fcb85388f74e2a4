"""PostgreSQL's wire protocol, version 3: cutting a byte stream into messages, and making messages. No I/O.

The first packets of a connection have no type byte (``read_opening``); everything after that has one
(``MessageCutter``). Source: PostgreSQL documentation, "Message Formats".
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique

__all__ = [
    "CancelRequest",
    "Encryption",
    "MessageCutter",
    "Startup",
    "WireError",
    "authentication_cleartext",
    "command_complete",
    "error_response",
    "execute",
    "message",
    "negotiate_version",
    "parse",
    "query",
    "read_opening",
    "read_password",
    "startup",
    "text_at",
]

HEADER = 5
MAX_OPENING = 10_000
MAX_MESSAGE = 64 * 1024 * 1024
_CANCEL = 80877102
_SSL = 80877103
_GSSENC = 80877104


class WireError(Exception):
    """The peer does not speak the protocol; the connection cannot continue."""


@unique
class Encryption(Enum):
    """A request to encrypt the connection, sent before anything else."""

    TLS = _SSL
    GSS = _GSSENC


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A request to cancel what another connection runs; ``packet`` is the whole request."""

    packet: bytes


@dataclass(frozen=True, slots=True)
class Startup:
    """A StartupMessage: the minor version of protocol 3 and the parameters."""

    minor: int
    parameters: Mapping[str, str]

    @property
    def user(self) -> str:
        """The database role, empty if the client named none."""
        return self.parameters.get("user", "")


Opening = Startup | Encryption | CancelRequest


def read_opening(data: bytes) -> tuple[Opening, int] | None:
    """The untyped packet at the start of ``data`` and its length; None while it is incomplete.

    Raises WireError.
    """
    if len(data) < 8:
        return None
    length, code = struct.unpack_from("!ii", data)
    if not 8 <= length <= MAX_OPENING:
        raise WireError("invalid length of startup packet")
    if len(data) < length:
        return None
    packet = bytes(data[:length])
    if code in (_SSL, _GSSENC):
        return Encryption(code), length
    if code == _CANCEL:
        return CancelRequest(packet), length
    if code >> 16 != 3:
        raise WireError("unsupported frontend protocol")
    return Startup(code & 0xFFFF, _parameters(packet[8:])), length


def _parameters(body: bytes) -> dict[str, str]:
    fields = body.split(b"\0")
    # The list ends in an empty name: two final NULs, so two empty fields.
    if len(fields) < 2 or fields[-1] or fields[-2] or len(fields) % 2:
        raise WireError("invalid startup packet layout: expected terminator as last byte")
    try:
        texts = [field.decode() for field in fields[:-2]]
    except UnicodeDecodeError as error:
        raise WireError("invalid startup packet: not UTF-8") from error
    return dict(zip(texts[::2], texts[1::2], strict=True))


class MessageCutter:
    """Collects bytes and gives back whole typed messages, each with its header."""

    __slots__ = ("_rest", "limit")

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._rest = b""
        #: The longest message that is waited for, in bytes.
        self.limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that ``data`` completes. Raises WireError if a length is impossible."""
        if self._rest:
            data = self._rest + data
        found = []
        start, end = 0, len(data)
        while end - start >= HEADER:
            length = 1 + int.from_bytes(data[start + 1 : start + HEADER], "big")
            if not HEADER <= length <= self.limit:
                raise WireError("invalid message length")
            if end - start < length:
                break
            found.append(data[start : start + length])
            start += length
        self._rest = data[start:]
        return found


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A typed message."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def startup(parameters: Mapping[str, str]) -> bytes:
    """A StartupMessage of protocol 3.0."""
    body = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, 3 << 16) + body


def authentication_cleartext() -> bytes:
    """AuthenticationCleartextPassword: asks for the password, which for DSQL is the token."""
    return message(b"R", struct.pack("!i", 3))


def negotiate_version(options: list[str]) -> bytes:
    """NegotiateProtocolVersion: 3.0 is spoken, and these protocol options are not known."""
    return message(b"v", struct.pack("!ii", 3 << 16, len(options)) + b"".join(_cstring(o) for o in options))


def error_response(sqlstate: str, text: str, *, severity: str = "ERROR", hint: str | None = None) -> bytes:
    """ErrorResponse; severity FATAL announces the end of the connection."""
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text, "H": hint}
    return message(b"E", b"".join(_cstring(k + v) for k, v in fields.items() if v is not None) + b"\0")


def command_complete(tag: str) -> bytes:
    """CommandComplete."""
    return message(b"C", _cstring(tag))


def query(sql: str) -> bytes:
    """Query, the simple protocol."""
    return message(b"Q", _cstring(sql))


def parse(name: bytes, sql: str, rest: bytes = b"\0\0") -> bytes:
    """Parse; ``rest`` is the list of parameter types as it stands in the message."""
    return message(b"P", name + b"\0" + _cstring(sql) + rest)


def execute(portal: str) -> bytes:
    """Execute, without a row limit."""
    return message(b"E", _cstring(portal) + b"\0\0\0\0")


def text_at(packet: bytes, start: int) -> tuple[bytes, int]:
    """The NUL-terminated text at ``start`` and the position after its NUL. Raises WireError."""
    end = packet.find(b"\0", start)
    if end < 0:
        raise WireError("invalid string in message")
    return packet[start:end], end + 1


def read_password(packet: bytes) -> str:
    """The password of a PasswordMessage. Raises WireError."""
    if packet[:1] != b"p":
        raise WireError("expected password response")
    try:
        return text_at(packet, HEADER)[0].decode()
    except UnicodeDecodeError:
        # Without the cause: it holds the password.
        raise WireError("invalid password packet") from None


def _cstring(text: str) -> bytes:
    return text.encode() + b"\0"
