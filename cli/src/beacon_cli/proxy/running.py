"""Runs a proxy as a process: the sockets, the signals, and the program that it runs for, if there is one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beacon.client.endpoints import Endpoints
from beacon.dsql.login import system_ca_file
from beacon_cli.proxy.health_server import HealthServer
from beacon_cli.proxy.metrics import exposition
from beacon_cli.proxy.proxy import Proxy
from beacon_cli.proxy.server_login import tls_context
from beacon_cli.proxy.settings import DATABASE, Settings, parse_address

__all__ = [
    "CannotListenError",
    "Places",
    "Program",
    "listening",
    "loop_factory",
    "run_beside",
    "run_until_told",
]

#: The clients that wait to be accepted, and how long a first answer of a source is waited for, in seconds.
_BACKLOG, _SOURCES_S = 512, 5.0


class CannotListenError(Exception):
    """An address is in use, or may not be used; the text says which."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a proxy listens, as it turned out."""

    listen: str
    health: str

    def as_json(self) -> dict[str, object]:
        """As one line of JSON shows it."""
        return {"listen": self.listen, "health": self.health or None}


@dataclass(frozen=True, slots=True)
class Program:
    """A program to run with a proxy, its environment, and the role that it logs in as by default."""

    command: Sequence[str]
    environment: Mapping[str, str]
    user: str


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop's event loop where that is installed, else asyncio's own."""
    try:
        import uvloop  # type: ignore[import-not-found, unused-ignore] # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop
    made: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return made


async def run_until_told(
    endpoints: Endpoints, settings: Settings, ca_file: str | None, ready: Callable[[Places], None]
) -> None:
    """Serve until SIGTERM or SIGINT, and stop gracefully. Raises :class:`CannotListenError`."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    async with _serving(endpoints, settings, ca_file) as places:
        ready(places)
        await told.wait()


async def run_beside(
    endpoints: Endpoints,
    settings: Settings,
    ca_file: str | None,
    program: Program,
) -> int:
    """Serve for as long as ``program`` runs, and return its exit status; raises ``OSError`` too."""
    loop = asyncio.get_running_loop()
    async with _serving(endpoints, settings, ca_file) as places:
        known = {**program.environment, **_environment(places.listen, settings, program.user)}
        process = await asyncio.create_subprocess_exec(*program.command, env=known)
        # Ctrl-C reaches the whole group: it is the program's to handle. A SIGTERM to us is passed on.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_signal_handler(signal.SIGTERM, lambda: _tell(process, signal.SIGTERM))
        status = await process.wait()
    # As a shell reports a program that a signal has ended.
    return status if status >= 0 else 128 - status


def _tell(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


@contextlib.asynccontextmanager
async def _serving(endpoints: Endpoints, settings: Settings, ca_file: str | None) -> AsyncIterator[Places]:
    # Sources are asked by threads; the first client does not have to wait for them.
    await asyncio.to_thread(endpoints.wait, _SOURCES_S)
    proxy = Proxy(endpoints, settings, tls_context(ca_file or system_ca_file()))
    listener, listen = listening(settings.listen, open_to_all=bool(settings.peer_ids))
    health = HealthServer(proxy.health, lambda: exposition(proxy.samples()))
    try:
        proxy.start(listener)
        try:
            where = await health.start(settings.health) if settings.health else ""
        except OSError as error:
            raise CannotListenError(f"{settings.health}: {error.strerror or error}") from None
        yield Places(listen, where)
    finally:
        await proxy.stop()
        await health.stop()
        if settings.is_unix:
            Path(listen).unlink(missing_ok=True)  # noqa: ASYNC240 - at the end, and quick


def _environment(listen: str, settings: Settings, user: str) -> dict[str, str]:
    """What a program of libpq, and most others, connect by."""
    if settings.is_unix:
        path = Path(listen)
        host, port = str(path.parent), path.name.rpartition(".")[2]
    else:
        host, number = parse_address(listen)
        port = str(number)
    found = {"PGHOST": host, "PGPORT": port, "PGDATABASE": DATABASE, "PGSSLMODE": "disable"}
    found |= {"PGGSSENCMODE": "disable"}
    if user:
        found["PGUSER"] = user
    if settings.password:
        found["PGPASSWORD"] = settings.password
    return found


def listening(listen: str, *, open_to_all: bool = False) -> tuple[socket.socket, str]:
    """A socket that listens at ``listen``, and where that is. Raises :class:`CannotListenError`."""
    try:
        if "/" in listen:
            return _unix(Path(listen), open_to_all=open_to_all), listen
        address, port = parse_address(listen)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = socket.create_server((address, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListenError(f"{listen}: {error.strerror or error}") from None
    address, port = made.getsockname()[:2]
    return made, f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _unix(path: Path, *, open_to_all: bool) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket() and not _answers(path):
            path.unlink()  # what a proxy left that was killed
        # The mode is right before the first client can come.
        before = os.umask(0o000 if open_to_all else 0o177)
        try:
            made.bind(str(path))
        finally:
            os.umask(before)
        made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(str(path))
        except OSError:
            return False
    return True
