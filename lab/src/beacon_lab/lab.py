"""A lab that is up: where its parts are, how its Regions are, and how they are broken and repaired.

:func:`beacon_lab.start.running_lab` makes one and takes it down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beacon_lab.cloud import Cloud, DataPlane
from beacon_lab.defects import Defects
from beacon_lab.dsql.cluster import OPERATOR_ROLE, Cluster
from beacon_lab.dsql.operator import Operator
from beacon_lab.errors import LabError
from beacon_lab.fault_limits import FaultLimits
from beacon_lab.faults import WHOLE, Extent, FaultKind
from beacon_lab.region import Region
from beacon_lab.settings import LabSettings

__all__ = ["Lab"]


@dataclass(frozen=True, slots=True)
class Lab:
    """Two or more Regions on this machine, all of whose parts run; an empty lab gets its Regions later."""

    settings: LabSettings
    cluster: Cluster
    cloud: Cloud
    data_plane: DataPlane
    regions: Mapping[str, Region]
    operator: Operator
    control_url: str
    defects: Defects
    limits: FaultLimits

    def health_of(self, region: str) -> str:
        """What Route 53 says of a Region's health check: healthy or unhealthy."""
        check = self._region(region).stack.health_check
        return "healthy" if self.data_plane.checkers.healthy(check.id) else "unhealthy"

    def status(self) -> dict[str, object]:
        """Each Region's faults and health check."""
        return {
            "regions": {
                name: {"health_check": self.health_of(name), "faults": region.broken}
                for name, region in self.regions.items()
            }
        }

    async def inject(
        self, region: str, kind: FaultKind, extent: Extent = WHOLE, *, limit_s: float | None = None
    ) -> None:
        """Break a Region; with ``limit_s`` the lab ends that fault by itself so many seconds later.

        Raise :class:`LabError` for a Region that is not there, and ``ValueError`` for an extent that the
        fault does not have.
        """
        broken = self._region(region)
        self.limits.lift(region, kind)
        await broken.inject(kind, extent)
        if limit_s is not None:
            self.limits.set(region, kind, limit_s, lambda: broken.end(kind))

    async def heal(self, region: str, kind: FaultKind | None = None) -> None:
        """Repair whatever is broken in a Region, or ``kind`` alone.

        Raise :class:`LabError` for a Region that is not there.
        """
        broken = self._region(region)
        self.limits.lift(region, kind)
        await (broken.heal() if kind is None else broken.end(kind))

    def ready(self) -> dict[str, Any]:
        """What the ready file holds: where everything of this lab is."""
        settings, dns = self.settings, self.data_plane.dns
        return {
            "aws_endpoint_url": self.cloud.front.endpoint_url,
            "credentials": {
                "access_key_id": self.cluster.operator.access_key_id,
                "secret_access_key": self.cluster.operator.secret_access_key,
            },
            "ca_file": str(self.cluster.authority.ca_file),
            "record_name": settings.record_name,
            "dns": {
                "host": dns.address,
                "port": dns.port,
                "by_region": {
                    name: {"host": dns.address, "port": port} for name, port in dns.by_region.items()
                },
            },
            "regions": {
                name: self._places(name)
                | {
                    "dsql": {
                        "host": front.host,
                        "address": front.address,
                        "port": front.port,
                        "user": OPERATOR_ROLE,
                        "database": "postgres",
                    },
                }
                for name, front in self.cluster.fronts.items()
            },
            "ssm": {"endpoint": settings.endpoint_parameter, "document": settings.document_parameter},
            "control_url": self.control_url,
            "speed": settings.speed,
        }

    def _places(self, name: str) -> dict[str, object]:
        """The address of the Region's ``/health``, where one is deployed."""
        return {"health_url": self.regions[name].health_url} if name in self.regions else {}

    def consumer_environment(self) -> dict[str, str]:
        """The variables with which a consumer signs its tokens."""
        key = self.cluster.operator
        return {"AWS_ACCESS_KEY_ID": key.access_key_id, "AWS_SECRET_ACCESS_KEY": key.secret_access_key}

    def _region(self, name: str) -> Region:
        if name not in self.regions:
            raise LabError(f"there is no Region {name!r} in this lab: it has {', '.join(self.regions)}")
        return self.regions[name]
