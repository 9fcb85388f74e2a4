"""Starts the process that simulates the AWS APIs, waits until it answers, and opens sessions to it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import aiohttp

from beacon_lab.errors import LabError
from beacon_lab.processes.children import Child, Processes

#: What a session's URLs start with: the Unix socket decides where they go, the name is never looked up.
MOTO_URL = "http://moto.invalid"
_READY_S = 30.0
_LONGEST_SOCKET_PATH = 100  # the kernel takes 107 bytes
_PROBE = "/moto-api/data.json"


class MotoError(LabError):
    """The simulator did not start; the sentence says why and where its log is."""


class MotoProcess:
    """One simulator; its state lives exactly as long as it does. ``directory`` gets socket and log."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "moto.sock"
        self.log = directory / "moto.log"
        self._child: Child | None = None

    async def start(self, processes: Processes) -> None:
        """Start and wait until it answers. Raises MotoError."""
        if len(os.fsencode(self.socket)) > _LONGEST_SOCKET_PATH:
            raise MotoError(
                f"the path {self.socket} is too long for a socket: choose a shorter lab directory"
            )
        self.socket.unlink(missing_ok=True)
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        argv = [sys.executable, "-m", "beacon_lab.aws.moto_server", str(self.socket)]
        self._child = await processes.spawn("moto", argv, env=environment, log=self.log)
        exited = asyncio.ensure_future(self._child.wait())
        try:
            async with asyncio.timeout(_READY_S):
                while not await self._answers():
                    if exited.done():
                        raise MotoError(f"the AWS simulator ended while starting: see {self.log}")
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise MotoError(
                f"the AWS simulator did not answer within {_READY_S:.0f} s: see {self.log}"
            ) from None
        finally:
            exited.cancel()

    async def stop(self) -> None:
        """End the process; its state is gone. Idempotent."""
        if self._child is not None:
            await self._child.terminate(1.0)
            self._child = None

    def session(self) -> aiohttp.ClientSession:
        """A new session that reaches the simulator whatever its URLs' host; the caller closes it."""
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self.socket), limit=64),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def _answers(self) -> bool:
        try:
            async with self.session() as session, session.get(f"{MOTO_URL}{_PROBE}") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
