"""Waits, while a lab starts, for what a user would look for: a ``/health`` that passes, and values in SSM."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError

from beacon_lab.cloud import Cloud
from beacon_lab.errors import LabError

__all__ = ["await_healthy", "await_published"]

#: How long the first answer of each may take: cold starts on a busy machine.
_WITHIN_S = 60.0
_AGAIN_S = 0.2
_LOG_LINES = 5


async def await_healthy(region: str, url: str, ca_file: Path) -> None:
    """Ask ``/health`` as an operator would, until it passes; raise :class:`LabError` when it does not."""
    context = ssl.create_default_context(cafile=str(ca_file))
    give_up = time.monotonic() + _WITHIN_S
    answer = "nothing"
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context), timeout=aiohttp.ClientTimeout(total=_WITHIN_S)
    ) as session:
        while time.monotonic() < give_up:
            try:
                async with session.get(url) as response:
                    answer = f"{response.status}: {await response.text()}"
                    if response.status == HTTPStatus.OK:
                        return
            except (aiohttp.ClientError, TimeoutError) as error:
                answer = type(error).__name__
            await asyncio.sleep(_AGAIN_S)
    raise LabError(f"/health of {region} does not pass; the last answer was {answer}")


async def await_published(cloud: Cloud, region: str, names: Sequence[str], log: Path | None) -> None:
    """Wait until the Region's parameters ``names`` are there; raise :class:`LabError` when they are not.

    The error ends with the last lines of ``log``, the publisher's, which goes away with the lab.
    """
    problem = "nothing is there"
    with contextlib.closing(cloud.client("ssm", region, connect_timeout=2, read_timeout=5)) as client:
        give_up = time.monotonic() + _WITHIN_S
        while time.monotonic() < give_up:
            try:
                found = await asyncio.to_thread(client.get_parameters, Names=list(names))
                if len(found["Parameters"]) == len(names):
                    return
            except (BotoCoreError, ClientError) as error:
                problem = str(error)
            await asyncio.sleep(_AGAIN_S)
    raise LabError(f"the publisher of {region} writes nothing ({problem}); the end of its log:\n{_tail(log)}")


def _tail(log: Path | None) -> str:
    if log is None or not log.is_file():
        return "(there is no log)"
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:])
