"""Aurora DSQL's ListClusters and GetCluster, answered from the lab's fronts; every other call is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from beacon_lab.aws.call import Call
from beacon_lab.aws.errors import ApiError, Encoded

__all__ = ["ClusterView", "answer_dsql"]

_PATH = re.compile(r"/cluster(?:/(?P<identifier>[a-z0-9]{26}))?/?")
#: The lab's clusters are as old as this; no part of it goes by their age.
_CREATED = 1_767_225_600


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One Region's part of a multi-Region cluster, as its API describes it."""

    region: str
    arn: str
    endpoint: str
    #: The ARNs of all parts, this one among them.
    linked: tuple[str, ...]
    witness_region: str

    @property
    def identifier(self) -> str:
        """The cluster's id."""
        return self.arn.rpartition("/")[2]


def answer_dsql(clusters: Mapping[str, ClusterView], call: Call) -> Encoded:
    """The answer to ``call`` for the cluster of its Region. Raises :class:`ApiError`."""
    match = _PATH.fullmatch(call.path)
    if call.method != "GET" or match is None:
        raise ApiError(403, "AccessDeniedException", "the lab's clusters cannot be changed")
    found = clusters.get(call.region)
    identifier = match["identifier"]
    if identifier is None:
        rows = [] if found is None else [{"identifier": found.identifier, "arn": found.arn}]
        return _encoded({"clusters": rows})
    if found is None or found.identifier != identifier:
        raise ApiError(404, "ResourceNotFoundException", f"there is no cluster {identifier} in {call.region}")
    return _encoded(
        {
            "identifier": found.identifier,
            "arn": found.arn,
            "status": "ACTIVE",
            "creationTime": _CREATED,
            "deletionProtectionEnabled": True,
            "multiRegionProperties": {
                "witnessRegion": found.witness_region,
                "clusters": list(found.linked),
            },
            "tags": {},
            "endpoint": found.endpoint,
        }
    )


def _encoded(value: Mapping[str, object]) -> Encoded:
    return Encoded(200, {"Content-Type": "application/json"}, json.dumps(value).encode())
