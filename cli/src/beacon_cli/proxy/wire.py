"""PostgreSQL's protocol, version 3, as far as a proxy takes part in it. Pure: no I/O.

A proxy reads the first packet of a client, takes part in two logins, and writes one kind of error. Everything
after the logins passes through it untouched (:mod:`beacon_cli.proxy.traffic`).

Source: PostgreSQL documentation, "Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, unique

__all__ = [
    "AUTHENTICATION_OK",
    "HEADER",
    "MOST_LOGIN_BYTES",
    "READY",
    "CancelRequest",
    "Encryption",
    "Opening",
    "Startup",
    "WireError",
    "authentication",
    "cancel_request",
    "error_sqlstate",
    "fatal",
    "key_data",
    "message",
    "negotiate_version",
    "password_message",
    "query",
    "read_opening",
    "startup_message",
    "whole_message",
]

#: The bytes of a message before its body: its kind, and its length.
HEADER = 5
#: The longest packet that is accepted before a login is complete.
MOST_LOGIN_BYTES = 10_000
_CANCEL, _SSL, _GSSENC = 80877102, 80877103, 80877104
_SQLSTATE_FIELD = b"C"


class WireError(Exception):
    """The peer does not speak the protocol; the connection cannot continue."""


@unique
class Encryption(Enum):
    """A request to encrypt the connection, sent before anything else."""

    TLS = _SSL
    GSS = _GSSENC


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """A request to cancel what another connection runs."""

    process_id: int
    secret: int


@dataclass(frozen=True, slots=True)
class Startup:
    """A StartupMessage: the minor version of protocol 3, and the parameters."""

    minor: int
    parameters: Mapping[str, str]


Opening = Startup | Encryption | CancelRequest


def read_opening(data: bytes) -> tuple[Opening, int] | None:
    """The packet without a kind at the start of ``data``, and its length; None while it is incomplete.

    Raises :class:`WireError`.
    """
    if len(data) < 8:
        return None
    length, code = struct.unpack_from("!ii", data)
    if not 8 <= length <= MOST_LOGIN_BYTES:
        raise WireError("invalid length of startup packet")
    if len(data) < length:
        return None
    if code in (_SSL, _GSSENC):
        if length != 8:
            raise WireError("invalid length of an encryption request")
        return Encryption(code), length
    if code == _CANCEL:
        if length != 16:
            raise WireError("invalid length of a cancel request")
        return CancelRequest(*struct.unpack_from("!II", data, 8)), length
    if code >> 16 != 3:
        raise WireError(f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}: this server supports 3")
    return Startup(code & 0xFFFF, _parameters(data[8:length])), length


def _parameters(body: bytes) -> dict[str, str]:
    fields = body.split(b"\0")
    # The list ends in an empty name: two final NULs, so two empty fields.
    if len(fields) < 2 or fields[-1] or fields[-2] or len(fields) % 2:
        raise WireError("invalid startup packet layout: expected terminator as last byte")
    try:
        texts = [field.decode() for field in fields[:-2]]
    except UnicodeDecodeError:
        raise WireError("invalid startup packet: not UTF-8") from None
    found = dict(zip(texts[::2], texts[1::2], strict=True))
    if not all(name.isascii() and name.isprintable() for name in found):
        raise WireError("invalid startup packet: a parameter's name is not printable")
    if not all(value.isprintable() for value in found.values()):
        raise WireError("invalid startup packet: a parameter's value is not printable")
    return found


def whole_message(data: bytes | bytearray, most: int = MOST_LOGIN_BYTES) -> tuple[bytes, bytes] | None:
    """Kind and body of the message at the start of ``data``; None while it is incomplete.

    Raises :class:`WireError` for one that is longer than ``most`` bytes.
    """
    if len(data) < HEADER:
        return None
    length = int.from_bytes(data[1:HEADER], "big")
    if not 4 <= length <= most:
        raise WireError("invalid message length")
    return (bytes(data[:1]), bytes(data[HEADER : length + 1])) if len(data) > length else None


def message(kind: bytes, body: bytes = b"") -> bytes:
    """A message with its kind."""
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def startup_message(parameters: Mapping[str, str]) -> bytes:
    """A StartupMessage of protocol 3.0."""
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items()) + b"\0"
    return struct.pack("!ii", len(body) + 8, 3 << 16) + body


def password_message(password: str) -> bytes:
    """PasswordMessage, for a server that asks for it in clear text."""
    return message(b"p", password.encode() + b"\0")


def query(statement: bytes) -> bytes:
    """Query, of the simple protocol."""
    return message(b"Q", statement + b"\0")


def cancel_request(key: bytes) -> bytes:
    """CancelRequest for the session whose BackendKeyData held ``key``."""
    return struct.pack("!ii", len(key) + 8, _CANCEL) + key


def key_data(process_id: int, secret: int) -> bytes:
    """BackendKeyData: what a client has to send to cancel."""
    return message(b"K", struct.pack("!II", process_id, secret))


def authentication(code: int, rest: bytes = b"") -> bytes:
    """One of the Authentication messages."""
    return message(b"R", struct.pack("!i", code) + rest)


def negotiate_version(options: Sequence[str]) -> bytes:
    """NegotiateProtocolVersion: 3.0 is spoken, and these protocol options are not known."""
    names = b"".join(option.encode() + b"\0" for option in options)
    return message(b"v", struct.pack("!ii", 3 << 16, len(options)) + names)


def fatal(sqlstate: str, text: str) -> bytes:
    """ErrorResponse that announces the end of the connection."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text}
    body = b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items())
    return message(b"E", body + b"\0")


def error_sqlstate(body: bytes) -> str:
    """The SQLSTATE in the body of an ErrorResponse; ``XX000`` where it holds none."""
    for field in body.split(b"\0"):
        code = field[1:]
        if field[:1] == _SQLSTATE_FIELD and len(code) == 5 and code.isalnum() and code.isascii():
            return code.decode().upper()
    return "XX000"


AUTHENTICATION_OK = authentication(0)
#: ReadyForQuery, outside of a transaction.
READY = message(b"Z", b"I")
