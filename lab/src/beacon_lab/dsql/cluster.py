"""The lab's DSQL cluster: one PostgreSQL, a front per Region, the access keys, and who is how far."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from beacon_lab.dsql.front import DsqlFront
from beacon_lab.dsql.iam_grants import IamGrants
from beacon_lab.dsql.postgres import Postgres
from beacon_lab.dsql.principals import DbAction, Principal, Principals
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes
from beacon_lab.route53.distances import round_trip_ms

__all__ = ["ACCOUNT_ID", "OPERATOR_ROLE", "Cluster"]

ACCOUNT_ID = "123456789012"
#: The database role that operators and the demo's application log in as.
OPERATOR_ROLE = "operator"
_HOST_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(slots=True)
class Cluster:
    """A multi-Region cluster; make one with :meth:`start`."""

    authority: Authority
    postgres: Postgres
    principals: Principals
    grants: IamGrants
    fronts: dict[str, DsqlFront]
    operator: Principal
    #: (observer's Region, endpoint's Region) -> port with their distance in between.
    ports: dict[tuple[str, str], int]

    @classmethod
    async def start(
        cls, directory: Path, regions: Sequence[str], processes: Processes, authority: Authority
    ) -> Cluster:
        """Start PostgreSQL and a front per Region, each also reachable from every other at its distance."""
        postgres = Postgres()
        await postgres.start(processes, directory / "postgres")
        cluster = cls(
            authority=authority,
            postgres=postgres,
            principals=Principals(),
            grants=IamGrants(),
            fronts={},
            operator=Principal("", "", None, ""),
            ports={},
        )
        cluster.operator = cluster.add_principal("operator", frozenset(DbAction), session=False)
        for region in regions:
            await cluster._add_front(region, regions)
        return cluster

    async def stop(self) -> None:
        """Close the fronts, then PostgreSQL."""
        for front in self.fronts.values():
            await front.stop()
        await self.postgres.stop()

    def add_principal(self, role_arn: str, actions: frozenset[DbAction], *, session: bool) -> Principal:
        """Make an access key for a role (a plain name stands for a role of the lab's account)."""
        arn = role_arn if role_arn.startswith("arn:") else f"arn:aws:iam::{ACCOUNT_ID}:role/{role_arn}"
        prefix = "ASIA" if session else "AKIA"
        return self.principals.add(
            access_key_id=prefix + "".join(secrets.choice(string.ascii_uppercase) for _ in range(16)),
            secret_access_key=secrets.token_urlsafe(30),
            session_token=secrets.token_urlsafe(60) if session else None,
            arn=arn,
            actions=actions,
        )

    def dial_from(self, observer: str) -> str:
        """The value of BEACON_DIAL in ``observer``: every endpoint at its distance from there."""
        return ",".join(
            f"{front.host}={front.address}:{self.ports[observer, region]}"
            for region, front in self.fronts.items()
        )

    def arn_of(self, region: str) -> str:
        """The ARN of the cluster's part in ``region``."""
        return f"arn:aws:dsql:{region}:{ACCOUNT_ID}:cluster/{self.fronts[region].host.partition('.')[0]}"

    async def _add_front(self, region: str, observers: Sequence[str]) -> None:
        identifier = "".join(secrets.choice(_HOST_ALPHABET) for _ in range(26))
        host = f"{identifier}.dsql.{region}.on.aws"
        front = DsqlFront(
            region=region,
            host=host,
            certificate=self.authority.issue(f"dsql-{region}", dns=[host]),
            postgres=self.postgres,
            principals=self.principals,
            grants=self.grants,
        )
        await front.start()
        self.fronts[region] = front
        for observer in observers:
            near = observer == region
            self.ports[observer, region] = (
                front.port if near else await front.add_listener(round_trip_ms(observer, region))
            )
