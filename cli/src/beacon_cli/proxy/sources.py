"""Where a proxy learns its endpoints: from its options, or from a deployment's file or a lab."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

from beacon import DnsRecord, Endpoints, SsmDocument, StaticList
from beacon_cli.errors import WrongUseError
from beacon_cli.fleet import Fleet

__all__ = ["Found", "from_fleet", "from_options"]

_REFRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """The endpoints, and a file of authorities in place of the system's."""

    endpoints: Endpoints
    ca_file: str | None = None


def from_options(
    *, app: str, env: str, region: str, hosts: tuple[str, ...], record: str, ca_file: str | None
) -> Found:
    """What the options name. Raises :class:`WrongUseError` with every reason at once."""
    try:
        named: list[Any] = [SsmDocument(app, env, region=region or None)] if app and env else []
        named += [DnsRecord(record)] if record else []
        named += [StaticList(list(hosts))] if hosts else []
        return Found(Endpoints(*named, refresh_s=_REFRESH_S), ca_file)
    except ValueError as error:
        raise WrongUseError(str(error), "beacon proxy --help") from None


def from_fleet(
    fleet: Fleet, region: str, ca_file: str | None, environment: MutableMapping[str, str] = os.environ
) -> Found:
    """What a deployment's file or a lab names; a lab's AWS comes into ``environment`` too."""
    near = fleet.site(region).region if region else (os.environ.get("AWS_REGION") or fleet.sites[0].region)
    hosts = [site.host for site in sorted(fleet.sites, key=lambda site: site.region != near) if site.host]
    lab = fleet.lab
    if lab is not None:
        for name in [name for name in environment if name.startswith("AWS_")]:
            del environment[name]
        environment.update(
            AWS_ENDPOINT_URL=lab.aws_url,
            AWS_ACCESS_KEY_ID=lab.access_key_id,
            AWS_SECRET_ACCESS_KEY=lab.secret_access_key,
            AWS_EC2_METADATA_DISABLED="true",
            NO_PROXY="127.0.0.1,localhost",
        )
    named: list[Any] = [
        SsmDocument(fleet.app, fleet.env, region=near),
        *([StaticList(hosts)] if hosts else []),
    ]
    try:
        made = Endpoints(
            *named,
            dial=dict(lab.dial) if lab else None,
            refresh_s=max(1.0, _REFRESH_S / lab.speed) if lab else _REFRESH_S,
        )
    except ValueError as error:
        raise WrongUseError(f"{fleet.source}: {error}") from None
    return Found(made, ca_file or (lab.ca_file if lab else None))
