"""The lab's DSQL cluster: one PostgreSQL, a front per Region, the access keys, and the distances."""

from __future__ import annotations

import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beacon_lab.dsql.front import DsqlFront
from beacon_lab.dsql.iam_grants import IamGrants
from beacon_lab.dsql.postgres import Postgres
from beacon_lab.dsql.principals import DbAction, Principal, Principals
from beacon_lab.names import ACCOUNT_ID
from beacon_lab.network.pki import Authority
from beacon_lab.processes.children import Processes
from beacon_lab.route53.distances import round_trip_ms

__all__ = ["OPERATOR_ROLE", "Cluster"]

#: The database role that operators and the demo's application log in as.
OPERATOR_ROLE = "operator"
_HOST_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Cluster:
    """A multi-Region cluster; make one with :meth:`start`."""

    authority: Authority
    postgres: Postgres
    principals: Principals
    #: The principal of the lab's operator, and of the demo's application.
    operator: Principal
    fronts: Mapping[str, DsqlFront]
    #: (observer's Region, endpoint's Region) -> port with their distance in between.
    ports: Mapping[tuple[str, str], int]

    @classmethod
    async def start(
        cls, directory: Path, regions: Sequence[str], processes: Processes, authority: Authority
    ) -> Cluster:
        """Start PostgreSQL and a front per Region, each also reachable from every other at its distance."""
        postgres = Postgres()
        await postgres.start(processes, directory / "postgres")
        principals, grants = Principals(), IamGrants()
        fronts: dict[str, DsqlFront] = {}
        ports: dict[tuple[str, str], int] = {}
        for region in regions:
            host = f"{_identifier()}.dsql.{region}.on.aws"
            front = DsqlFront(
                region=region,
                host=host,
                certificate=authority.issue(f"dsql-{region}", dns=[host]),
                postgres=postgres,
                principals=principals,
                grants=grants,
            )
            await front.start()
            fronts[region] = front
            for observer in regions:
                near = observer == region
                distance_ms = round_trip_ms(observer, region)
                ports[observer, region] = front.port if near else await front.add_listener(distance_ms)
        operator = _new_key(principals, "operator", frozenset(DbAction), session=False)
        return cls(authority, postgres, principals, operator, fronts, ports)

    async def stop(self) -> None:
        """Close the fronts, then PostgreSQL."""
        for front in self.fronts.values():
            await front.stop()
        await self.postgres.stop()

    def add_principal(self, role_arn: str, actions: frozenset[DbAction], *, session: bool) -> Principal:
        """Make an access key for a role (a plain name stands for a role of the lab's account)."""
        return _new_key(self.principals, role_arn, actions, session=session)

    def dials_from(self, observer: str) -> dict[str, tuple[str, int]]:
        """Where a client in ``observer`` dials each endpoint's host, at its distance from there."""
        return {
            front.host: (front.address, self.ports[observer, region]) for region, front in self.fronts.items()
        }

    def arn_of(self, region: str) -> str:
        """The ARN of the cluster's part in ``region``."""
        return f"arn:aws:dsql:{region}:{ACCOUNT_ID}:cluster/{self.fronts[region].host.partition('.')[0]}"


def _identifier() -> str:
    """A cluster's identifier, as DSQL makes them."""
    return "".join(secrets.choice(_HOST_ALPHABET) for _ in range(26))


def _new_key(
    principals: Principals, role_arn: str, actions: frozenset[DbAction], *, session: bool
) -> Principal:
    arn = role_arn if role_arn.startswith("arn:") else f"arn:aws:iam::{ACCOUNT_ID}:role/{role_arn}"
    prefix = "ASIA" if session else "AKIA"
    return principals.add(
        access_key_id=prefix + "".join(secrets.choice(string.ascii_uppercase) for _ in range(16)),
        secret_access_key=secrets.token_urlsafe(30),
        session_token=secrets.token_urlsafe(60) if session else None,
        arn=arn,
        actions=actions,
    )
