"""The beginning of a client's connection: no TLS, who the client is, and what it wants to log in as.

| the client sends | answer |
| --- | --- |
| SSLRequest, GSSENCRequest | ``N``: the connection never leaves this machine |
| CancelRequest | returned to the caller; nothing is answered |
| StartupMessage | a check of the user's id, of the password, of the role; then it is returned |
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from beacon_cli.proxy import wire
from beacon_cli.proxy.client_check import MECHANISM, ScramServer, user_id_of
from beacon_cli.proxy.settings import DATABASE, Settings

__all__ = ["Greeted", "RejectedError", "open_client"]

_CHUNK = 8192
_SASL, _SASL_CONTINUE, _SASL_FINAL = 10, 11, 12
#: More encryption requests than a client ever sends.
_MOST_REQUESTS = 4


class RejectedError(Exception):
    """The client cannot be served; its connection ends with this SQLSTATE and text."""

    def __init__(self, sqlstate: str, text: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


@dataclass(frozen=True, slots=True)
class Greeted:
    """A client that may log in: the parameters for the server, what it gets first, what it has sent early."""

    parameters: dict[str, str]
    greeting: bytes
    early: bytes


class _Reader:
    def __init__(self, client: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._client = client
        self.data = b""

    async def more(self) -> None:
        came = await self._loop.sock_recv(self._client, _CHUNK)
        if not came:
            raise ConnectionResetError
        self.data += came

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._client, data)

    async def opening(self) -> wire.Opening:
        while (found := wire.read_opening(self.data)) is None:
            await self.more()
        opening, length = found
        self.data = self.data[length:]
        return opening

    async def password(self) -> bytes:
        while (found := wire.whole_message(self.data)) is None:
            await self.more()
        kind, body = found
        self.data = self.data[len(body) + wire.HEADER :]
        if kind != b"p":
            raise wire.WireError("expected a password")
        return body


async def open_client(client: socket.socket, settings: Settings) -> Greeted | wire.CancelRequest:
    """Take part in the beginning of ``client``, whose socket does not block.

    Raises :class:`RejectedError`, :class:`~beacon_cli.proxy.wire.WireError` and ``OSError``.
    """
    reader = _Reader(client)
    for _ in range(_MOST_REQUESTS):
        opening = await reader.opening()
        if not isinstance(opening, wire.Encryption):
            break
        if reader.data:
            raise wire.WireError("received unencrypted data after an encryption request")
        await reader.send(b"N")
    else:
        raise wire.WireError("too many encryption requests")
    if isinstance(opening, wire.CancelRequest):
        return opening
    assert isinstance(opening, wire.Startup)  # noqa: S101 - the two others are above
    _require_user_id(client, settings)
    parameters = _parameters(opening, settings)
    unknown = [name for name in opening.parameters if name.startswith("_pq_.")]
    if opening.minor or unknown:
        await reader.send(wire.negotiate_version(unknown))
    if settings.password:
        await _require_password(reader, settings.password)
    return Greeted(parameters, wire.AUTHENTICATION_OK, reader.data)


def _require_user_id(client: socket.socket, settings: Settings) -> None:
    if settings.peer_ids and user_id_of(client) not in settings.peer_ids:
        raise RejectedError("28000", "this user of the machine may not use the proxy: see --peer")


def _parameters(opening: wire.Startup, settings: Settings) -> dict[str, str]:
    given = {name: value for name, value in opening.parameters.items() if not name.startswith("_pq_.")}
    user = given.get("user", "")
    if not user:
        raise RejectedError("28000", "no PostgreSQL user name specified in startup packet")
    if settings.roles and user not in settings.roles:
        raise RejectedError("28000", f"the proxy logs in as {' or '.join(settings.roles)} only: see --role")
    # A program that names no database asks for one with the role's name, and DSQL never has it.
    if given.get("database", user) == user:
        given["database"] = DATABASE
    return given


async def _require_password(reader: _Reader, password: str) -> None:
    scram = ScramServer(password)
    await reader.send(wire.authentication(_SASL, MECHANISM.encode() + b"\0\0"))
    challenge = scram.challenge(await reader.password())
    await reader.send(wire.authentication(_SASL_CONTINUE, challenge))
    final = scram.verify(await reader.password())
    if final is None:
        raise RejectedError("28P01", "password authentication failed")
    await reader.send(wire.authentication(_SASL_FINAL, final))
