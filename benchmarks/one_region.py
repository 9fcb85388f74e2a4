"""A DSQL front of the lab with a prepared database, in its own process, for benchmarks to connect to.

It has its own process so that neither its work nor its use of the interpreter's lock counts as a client's.
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
from datetime import UTC, datetime
from pathlib import Path

from beacon.aws.sigv4 import Credentials
from beacon.dsql.token import sign_token
from beacon_lab.dsql.bootstrap import DatabaseSetup, prepare
from beacon_lab.dsql.cluster import Cluster
from beacon_lab.dsql.principals import DbAction
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes

__all__ = ["OneRegion", "one_region", "trusted"]

_APP, _ENV = "bench", "lab"
_REGION = "us-east-1"
_DB_USER = "beacon_probe"
_SQL = Path(__file__).parents[1] / "sql"
#: The files in which Amazon Linux and Debian have their bundle of certificate authorities.
_BUNDLES = (Path("/etc/pki/tls/certs/ca-bundle.crt"), Path("/etc/ssl/certs/ca-certificates.crt"))


@dataclass(frozen=True, slots=True)
class OneRegion:
    """The front's address, and the role that may log in."""

    host: str
    address: str
    port: int
    ca_file: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    region: str = _REGION
    db_user: str = _DB_USER

    def token(self) -> str:
        """A token for the login role, valid for 15 minutes."""
        credentials = Credentials(self.access_key_id, self.secret_access_key, self.session_token)
        return sign_token(self.host, self.region, credentials, datetime.now(UTC))

    def environment(self) -> dict[str, str]:
        """The variables of the health function's environment that Lambda does not set itself."""
        return {
            "BEACON_APP": _APP,
            "BEACON_ENV": _ENV,
            "BEACON_ENDPOINTS": f"{self.region}={self.host}",
            "BEACON_DB_USER": self.db_user,
            "BEACON_PROBE_DEADLINE_MS": "1500",
            "BEACON_DIAL": f"{self.host}={self.address}:{self.port}",
            "BEACON_CA_FILE": self.ca_file,
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


@contextlib.contextmanager
def one_region() -> Iterator[OneRegion]:
    """The front, for the time of the context."""
    directory = Path(tempfile.mkdtemp(prefix="beacon-", dir="/tmp"))
    process = subprocess.Popen(
        [sys.executable, __file__, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    directory.chmod(0o755)  # PostgreSQL may run as another user
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the front did not start")
        yield OneRegion(**json.loads(line))
    finally:
        process.communicate(timeout=30)  # it waits for the end of its input
        shutil.rmtree(directory, ignore_errors=True)


def trusted(ca_file: Path) -> tuple[str, int]:
    """The machine's bundle of authorities with the lab's own, as one PEM file, and how many it holds.

    As many as in Lambda: every connection parses them all.
    """
    system = next((bundle.read_text(encoding="utf-8") for bundle in _BUNDLES if bundle.is_file()), "")
    text = system + ca_file.read_text(encoding="utf-8")
    bundle = ca_file.with_name("bundle.pem")
    bundle.write_text(text, encoding="utf-8")
    bundle.chmod(0o644)
    return str(bundle), text.count("BEGIN CERTIFICATE")


async def _serve(directory: Path) -> None:
    async with Processes() as processes:
        authority = Authority.create(directory / "ca")
        cluster = await Cluster.start(directory, [_REGION], processes, authority)
        front = cluster.fronts[_REGION]
        role = cluster.add_principal("bench-health", frozenset({DbAction.CONNECT}), session=True)
        setup = DatabaseSetup(
            service=f"{_APP}-{_ENV}",
            regions=[_REGION],
            login_role=_DB_USER,
            login_arns=[role.arn],
            operator_role="bench_operator",
            operator_arns=[cluster.operator.arn],
        )
        await prepare(front, ca_file=authority.ca_file, admin=cluster.operator, folder=_SQL, setup=setup)
        bundle, _ = trusted(authority.ca_file)
        ready = OneRegion(
            host=front.host,
            address=front.address,
            port=front.port,
            ca_file=bundle,
            access_key_id=role.access_key_id,
            secret_access_key=role.secret_access_key,
            session_token=role.session_token or "",
        )
        print(json.dumps(asdict(ready)), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        await cluster.stop()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
