"""A child process that gets its orders as one line of JSON and reports in lines of JSON.

It stops when its standard input ends, so nothing of it outlives the lab, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Self

__all__ = ["LineProcess"]

#: A line holds one attempt; a report at the end may be longer.
_MOST_LINE_BYTES = 1024 * 1024


class LineProcess:
    """Runs a module of the lab as a process; ``on_line`` gets each line. An asynchronous context manager."""

    def __init__(
        self,
        module: str,
        orders: object,
        environment: Mapping[str, str],
        on_line: Callable[[dict[str, object]], None],
        end_s: float,
    ) -> None:
        self._module = module
        self._orders = orders
        self._environment = environment
        self._on_line = on_line
        self._end_s = end_s
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PATH": os.defpath, **self._environment},
            start_new_session=True,
            limit=_MOST_LINE_BYTES,
        )
        assert self._process.stdin is not None  # noqa: S101 - the process was started with a pipe
        self._process.stdin.write(json.dumps(self._orders).encode() + b"\n")
        await self._process.stdin.drain()
        self._reader = asyncio.create_task(self._read(self._process))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.finish()

    async def finish(self) -> None:
        """Let what is under way end, and the process with it; a second call is harmless."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101 - the process was started with a pipe
        process.stdin.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), self._end_s)
        if process.returncode is None:
            process.kill()
            await process.wait()
        if self._reader is not None:
            await self._reader

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - the process was started with a pipe
        async for line in process.stdout:
            self._on_line(json.loads(line))
