"""Two Regions' DSQL fronts with a prepared database, in their own process, that break on command.

They have their own process so that neither their work nor their use of the interpreter's lock counts as a
client's.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from one_region import trusted

from beacon import Endpoints, StaticList
from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.cluster import OPERATOR_ROLE, Cluster
from beacon_lab.faults import FaultKind
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes

__all__ = ["FAR", "NEAR", "TwoRegions", "two_regions"]

NEAR, FAR = "us-east-1", "us-east-2"
_SQL = Path(__file__).parents[1] / "sql"


@dataclass(frozen=True, slots=True)
class TwoRegions:
    """The fronts' addresses, by Region, the role that may log in, and the process that they run in."""

    hosts: dict[str, str]
    ports: dict[str, int]
    address: str
    ca_file: str
    keys: tuple[str, str]
    process: subprocess.Popen[str]

    @property
    def login(self) -> dict[str, Any]:
        """How a client logs in."""
        return {"user": OPERATOR_ROLE, "ca_file": self.ca_file}

    @property
    def dial(self) -> dict[str, tuple[str, int]]:
        """Where to connect instead of resolving a host; the far one is at its distance."""
        return {self.hosts[region]: (self.address, self.ports[region]) for region in (NEAR, FAR)}

    def credentials(self) -> Credentials:
        """Credentials of the role that logs in."""
        return Credentials(*self.keys)

    def token(self, region: str) -> str:
        """A token for a Region, valid for 15 minutes."""
        return sign_token(self.hosts[region], region, self.credentials(), datetime.now(UTC))

    def endpoints(self, **options: Any) -> Endpoints:  # noqa: ANN401 - those of Endpoints
        """Endpoints that have met no fault yet, near Region first."""
        listed = StaticList([self.hosts[NEAR], self.hosts[FAR]])
        return Endpoints(listed, **{"dial": self.dial, "credentials": self.credentials, **options})

    def inject(self, region: str, kind: FaultKind | None) -> None:
        """Break a Region's front, or heal it with ``None``."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([region, kind]), file=self.process.stdin, flush=True)
        assert self.process.stdout.readline() == "done\n"


@contextlib.contextmanager
def two_regions() -> Iterator[TwoRegions]:
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
        yield TwoRegions(**json.loads(line), process=process)
    finally:
        process.communicate(timeout=30)  # it waits for the end of its input
        shutil.rmtree(directory, ignore_errors=True)


async def _serve(directory: Path) -> None:
    async with Processes() as processes:
        authority = Authority.create(directory / "ca")
        cluster = await Cluster.start(directory, [NEAR, FAR], processes, authority)
        near = cluster.fronts[NEAR]
        setup = DatabaseSetup(
            service="bench-lab",
            regions=[NEAR, FAR],
            login_role="beacon_probe",
            login_arns=[],
            operator_role=OPERATOR_ROLE,
            operator_arns=[cluster.operator.arn],
        )
        await prepare(near, ca_file=authority.ca_file, admin=cluster.operator, folder=_SQL, setup=setup)
        bundle, _ = trusted(authority.ca_file)
        ready = {
            "hosts": {region: cluster.fronts[region].host for region in (NEAR, FAR)},
            "ports": {region: cluster.ports[NEAR, region] for region in (NEAR, FAR)},
            "address": near.address,
            "ca_file": bundle,
            "keys": (cluster.operator.access_key_id, cluster.operator.secret_access_key),
        }
        print(json.dumps(ready), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            region, kind = json.loads(line)
            if kind is None:
                await cluster.fronts[region].heal()
            else:
                await cluster.fronts[region].inject(FaultKind(kind))
            print("done", flush=True)
        await cluster.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
