"""Finds the linked clusters of a deployment through DSQL's own API: one Region names all of them.

Source: the members of GetCluster's answer in botocore's model of DSQL (`multiRegionProperties`, `endpoint`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.errors import FailedError, WrongUseError, not_among
from beacon_cli.sessions import Sessions

__all__ = ["LinkedCluster", "find_linked"]

_ACTIVE = "ACTIVE"


@dataclass(frozen=True, slots=True)
class LinkedCluster:
    """One Region's part of a multi-Region cluster."""

    region: str
    identifier: str
    arn: str
    host: str


def find_linked(sessions: Sessions, region: str, identifier: str = "") -> tuple[LinkedCluster, ...]:
    """The parts of the multi-Region cluster that has a part in ``region``, that part first.

    ``identifier`` chooses where there are several. Raises :class:`~beacon_cli.errors.CommandError` with what
    to do where there is none, where a part is not ACTIVE, and where two parts do not name each other.
    """
    own = _part_of(sessions, region, identifier)
    arns = _linked(own)
    places = [(arn, *_place(arn)) for arn in sorted(arns, key=lambda arn: arn != own["arn"])]
    parts = [
        (place, own if arn == own["arn"] else _get(sessions, place, name)) for arn, place, name in places
    ]
    wrong = []
    for place, part in parts:
        if part["status"] != _ACTIVE:
            wrong.append(f"the cluster in {place} is {part['status']}, not {_ACTIVE}")
        elif set(_linked(part)) != set(arns):
            wrong.append(f"the cluster in {place} is linked with other ones than that in {region}")
    if wrong:
        raise FailedError(
            "; ".join(wrong), f"aws dsql get-cluster --region {region} --identifier {own['identifier']}"
        )
    return tuple(
        LinkedCluster(place, part["identifier"], part["arn"], _host(place, part)) for place, part in parts
    )


def _part_of(sessions: Sessions, region: str, identifier: str) -> Any:  # noqa: ANN401 - botocore's answer
    client = sessions.dsql(region)
    try:
        known = [row["identifier"] for page in _pages(client) for row in page["clusters"]]
    except FAILURES as error:
        raise aws_error(error, f"DSQL of {region}") from error
    if identifier and identifier not in known:
        raise not_among("cluster", identifier, known, region)
    found = [_get(sessions, region, one) for one in ([identifier] if identifier else known)]
    linked = [part for part in found if len(_linked(part)) > 1]
    if not linked:
        raise FailedError(
            f"no cluster in {region} is linked with another Region: a multi-Region cluster is needed first",
            "docs/rollout.md: dsql.yaml makes a linked pair",
        )
    if len(linked) > 1:
        raise WrongUseError(
            f"{region} has several linked clusters: {', '.join(part['identifier'] for part in linked)}",
            f"beacon init --region {region} --cluster {linked[0]['identifier']}",
        )
    return linked[0]


def _pages(client: Any) -> Any:  # noqa: ANN401 - as above
    return client.get_paginator("list_clusters").paginate()


def _get(sessions: Sessions, region: str, identifier: str) -> Any:  # noqa: ANN401 - as above
    try:
        return sessions.dsql(region).get_cluster(identifier=identifier)
    except FAILURES as error:
        raise aws_error(error, f"DSQL of {region}") from error


def _linked(part: Any) -> list[str]:  # noqa: ANN401 - as above
    properties = part.get("multiRegionProperties") or {}
    return [*properties.get("clusters", [])]


def _place(arn: str) -> tuple[str, str]:
    """Region and identifier of an ARN of a cluster: arn:aws:dsql:REGION:ACCOUNT:cluster/ID."""
    return arn.split(":")[3], arn.rpartition("/")[2]


def _host(region: str, part: Any) -> str:  # noqa: ANN401 - as above
    return str(part.get("endpoint") or f"{part['identifier']}.dsql.{region}.on.aws")
