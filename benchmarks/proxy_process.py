"""A proxy before the fronts of :mod:`two_regions`, in its own process; it ends with its input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from two_regions import FAR, NEAR, TwoRegions

from beacon import Endpoints, StaticList
from beacon.aws.sigv4 import Credentials
from beacon_cli.proxy.running import Places, loop_factory, run_until_told
from beacon_cli.proxy.settings import Settings

__all__ = ["ProxyProcess", "proxy_process"]


@dataclass(frozen=True, slots=True)
class ProxyProcess:
    """Where it listens, and what it takes."""

    port: int
    health: str
    process: subprocess.Popen[str]

    @property
    def resident_kb(self) -> float:
        """The memory that is its own, in KB."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith("Private_"))

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    @property
    def metrics(self) -> dict[str, float]:
        """Each sample of ``/metrics``, by its name with its labels."""
        with urlopen(f"http://{self.health}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value)
            for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")
        }


@contextlib.contextmanager
def proxy_process(regions: TwoRegions, *, own_loop: bool = True, **settings: Any) -> Iterator[ProxyProcess]:  # noqa: ANN401 - those of Settings
    """The proxy, for the time of the context; with asyncio's ``own_loop``, or with uvloop's."""
    orders = {
        "hosts": [regions.hosts[NEAR], regions.hosts[FAR]],
        "dial": regions.dial,
        "keys": regions.keys,
        "ca_file": regions.ca_file,
        "own_loop": own_loop,
        "settings": {"listen": "127.0.0.1:0", "health": "127.0.0.1:0", "connects_per_s": 100, **settings},
    }
    with subprocess.Popen(
        [sys.executable, __file__, json.dumps(orders)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the proxy did not start")
            places = json.loads(line)
            yield ProxyProcess(int(places["listen"].rpartition(":")[2]), places["health"], process)
        finally:
            process.terminate()


def _serve(orders: dict[str, Any]) -> None:
    dial = {host: (address, port) for host, (address, port) in orders["dial"].items()}
    keys = Credentials(*orders["keys"])

    def ready(places: Places) -> None:
        print(json.dumps(places.as_json()), flush=True)

    factory = asyncio.new_event_loop if orders["own_loop"] else loop_factory()
    with (
        Endpoints(StaticList(orders["hosts"]), dial=dial, credentials=lambda: keys) as endpoints,
        asyncio.Runner(loop_factory=factory) as runner,
    ):
        runner.run(run_until_told(endpoints, Settings(**orders["settings"]), orders["ca_file"], ready))


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
