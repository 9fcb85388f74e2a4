"""Ten Regions' DSQL fronts with a prepared database, in their own process, for a publisher to probe.

Each has its distance from the first Region by the lab's table; the first one has no distance.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from beacon.aws.sigv4 import Credentials
from beacon.model import Endpoint
from beacon.settings import Settings
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.cluster import Cluster
from beacon_lab.dsql.principals import DbAction
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes

__all__ = ["REGIONS", "TenRegions", "ten_regions"]

#: The Regions of DSQL's multi-Region sets, from nearest to farthest of the first.
REGIONS = (
    "us-east-1",
    "us-east-2",
    "us-west-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-central-1",
    "ap-northeast-1",
    "ap-northeast-3",
    "ap-northeast-2",
)
_APP, _ENV, _DB_USER = "bench", "lab", "beacon_probe"
_SQL = Path(__file__).parents[1] / "sql"


@dataclass(frozen=True, slots=True)
class TenRegions:
    """The fronts' addresses, by Region, and the role that may log in."""

    hosts: dict[str, str]
    ports: dict[str, int]
    address: str
    ca_file: str
    keys: tuple[str, str, str]

    @property
    def credentials(self) -> Credentials:
        """Credentials of the role that probes."""
        return Credentials(*self.keys)

    def far(self) -> Settings:
        """A publisher's settings in the first Region: every Region at its distance."""
        endpoints = [
            Endpoint(region, self.hosts[region], dial=(self.address, self.ports[region]))
            for region in REGIONS
        ]
        return self._settings(endpoints)

    def many(self, count: int) -> Settings:
        """Settings with ``count`` endpoints, all of them the second Region's front, at its distance."""
        region = REGIONS[1]
        dial = (self.address, self.ports[region])
        return self._settings(
            [Endpoint(f"copy-{number}", self.hosts[region], dial=dial) for number in range(count)]
        )

    def _settings(self, endpoints: list[Endpoint]) -> Settings:
        return Settings(
            app=_APP,
            env=_ENV,
            region=endpoints[0].region,
            endpoints=tuple(endpoints),
            db_user=_DB_USER,
            ca_file=self.ca_file,
        )


@contextlib.contextmanager
def ten_regions() -> Iterator[TenRegions]:
    """The fronts, for the time of the context."""
    # Under /tmp, because a Unix socket's path must be short; PostgreSQL is another user, and must get in.
    directory = Path(tempfile.mkdtemp(prefix="beacon-", dir="/tmp"))
    directory.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, __file__, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the fronts did not start")
        yield TenRegions(**json.loads(line))
    finally:
        process.communicate(timeout=30)  # it waits for the end of its input
        shutil.rmtree(directory, ignore_errors=True)


async def _serve(directory: Path) -> None:
    async with Processes() as processes:
        authority = Authority.create(directory / "ca")
        cluster = await Cluster.start(directory, REGIONS, processes, authority)
        front = cluster.fronts[REGIONS[0]]
        role = cluster.add_principal("bench-publisher", frozenset({DbAction.CONNECT}), session=True)
        setup = DatabaseSetup(
            service=f"{_APP}-{_ENV}",
            regions=REGIONS,
            login_role=_DB_USER,
            login_arns=[role.arn],
            operator_role="bench_operator",
            operator_arns=[cluster.operator.arn],
        )
        await prepare(front, ca_file=authority.ca_file, admin=cluster.operator, folder=_SQL, setup=setup)
        ready = TenRegions(
            hosts={region: cluster.fronts[region].host for region in REGIONS},
            ports={region: cluster.ports[REGIONS[0], region] for region in REGIONS},
            address=front.address,
            ca_file=str(authority.ca_file),
            keys=(role.access_key_id, role.secret_access_key, role.session_token or ""),
        )
        print(json.dumps(asdict(ready)), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await cluster.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
