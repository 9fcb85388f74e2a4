"""The Regions of one deployment and where each part of them is. Pure: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from beacon.names import TARGET
from beacon_cli.errors import not_among

__all__ = ["OPERATOR_ROLE", "Fleet", "LabPlaces", "Site"]

#: The database role of operators that the README and sql/roles.sql make.
OPERATOR_ROLE = "beacon_operator"


@dataclass(frozen=True, slots=True)
class Site:
    """One Region of a deployment."""

    region: str
    stack_name: str
    host: str
    """Its DSQL endpoint's host name; empty where the file does not say."""
    profile: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The parameter overrides of the file; the stack may have others."""


@dataclass(frozen=True, slots=True)
class LabPlaces:
    """Where a lab plays the parts of AWS; all on this machine."""

    aws_url: str
    control_url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    ca_file: str
    dns: tuple[str, int]
    dial: Mapping[str, tuple[str, int]]
    """Where each DSQL host is dialled."""
    health_urls: Mapping[str, str] = field(repr=False)
    """Each Region's health URL, which holds the path token."""
    speed: float = 1.0
    """The factor by which the lab shortens intervals."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """One deployment: its name, its Regions in the file's order, and its record."""

    app: str
    env: str
    sites: tuple[Site, ...]
    source: str
    """Where this was read: a file's name, for messages."""
    record_name: str = ""
    """The DNS name that clients look up; empty before the records are on."""
    zone_id: str = ""
    global_stack: tuple[str, str] | None = None
    """The stack of global.yaml, as Region and name."""
    lab: LabPlaces | None = None
    target: str = TARGET
    operator_role: str = OPERATOR_ROLE
    """The database role that an operator logs in as."""

    @property
    def service(self) -> str:
        """The deployment's name, ``{app}-{env}``."""
        return f"{self.app}-{self.env}"

    @property
    def regions(self) -> tuple[str, ...]:
        """The names of the Regions."""
        return tuple(site.region for site in self.sites)

    @property
    def document_parameter(self) -> str:
        """The SSM parameter that holds a Region's document."""
        return f"/{self.app}/{self.env}/{self.target}/document"

    @property
    def endpoint_parameter(self) -> str:
        """The SSM parameter that holds a Region's preferred host."""
        return f"/{self.app}/{self.env}/{self.target}/endpoint"

    def site(self, region: str) -> Site:
        """The Region called ``region``; raises :class:`WrongUseError` that lists the known ones."""
        for site in self.sites:
            if site.region == region:
                return site
        raise not_among("Region", region, self.regions, self.service)
