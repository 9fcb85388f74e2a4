"""The second port of a proxy: ``/health`` for the platform, and ``/metrics`` for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping

from beacon_cli.proxy.settings import parse_address

__all__ = ["HealthServer"]

_REQUEST_S = 5.0
_MOST_REQUEST = 8192
_STATUS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


class HealthServer:
    """Answers GET and HEAD; ``health`` gives the verdict and facts, ``metrics`` the text."""

    def __init__(
        self, health: Callable[[], tuple[str, Mapping[str, object]]], metrics: Callable[[], str]
    ) -> None:
        self._health, self._metrics = health, metrics
        self._server: asyncio.Server | None = None

    async def start(self, listen: str) -> str:
        """Listen; return ``address:port``. Raises ``OSError``."""
        address, port = parse_address(listen)
        self._server = await asyncio.start_server(self._serve, address, port, limit=_MOST_REQUEST)
        address, port = self._server.sockets[0].getsockname()[:2]
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    async def stop(self) -> None:
        """Listen no more; no error if it was not started."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that asks for nothing, or does not wait
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.decode("latin-1").partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        kind, status, body = "text/plain; charset=utf-8", 200, ""
        if method not in {"GET", "HEAD"}:
            status, body = 405, "use GET\n"
        elif path == "/metrics":
            kind, body = "text/plain; version=0.0.4; charset=utf-8", self._metrics()
        elif path in {"/health", "/healthz"}:
            verdict, facts = self._health()
            kind, status = "application/health+json", 503 if verdict == "fail" else 200
            body = json.dumps({"status": verdict, **facts}) + "\n"
        else:
            status, body = 404, "there are /health and /metrics\n"
        content = body.encode()
        header = (
            f"HTTP/1.1 {status} {_STATUS[status]}\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(content)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        )
        return header.encode() + (b"" if method == "HEAD" else content)
