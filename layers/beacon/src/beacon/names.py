"""What code and templates must spell alike: target, service, events, metrics, hosts of DSQL. Pure."""

from __future__ import annotations

import re

__all__ = [
    "EDGE",
    "NAMESPACE",
    "SCHEDULE",
    "TARGET",
    "host_problem",
    "region_of_host",
    "search_string",
    "service_name",
    "shown",
]

TARGET = "dsql"
#: The namespace of every metric.
NAMESPACE = "Beacon"
#: ``source`` of the events that start the publisher: from the health function, and from its schedule.
EDGE, SCHEDULE = "beacon.health", "beacon.schedule"
# `<id>.dsql.<region>.on.aws`; the second label gets a suffix for a private endpoint.
_DSQL_HOST = re.compile(r"[a-z0-9]{26}\.dsql(-[a-z0-9]{1,16})?\.(?P<region>[a-z0-9-]{1,20})\.on\.aws")


def service_name(app: str, env: str) -> str:
    """The deployment's name."""
    return f"{app}-{env}"


def search_string(service: str, region: str) -> str:
    """What Route 53 looks for in a serving answer; template.yaml composes the same string."""
    return f"beacon:{service}:{region}:serving"


def shown(text: str) -> str:
    """What an error may repeat of ``text``: a host name as it is; of anything else nothing.

    A connection string in place of a host name holds a password, and a space, ``=``, ``@`` or ``/``.
    """
    plain = re.fullmatch(r"[A-Za-z0-9._-]{0,253}(:[0-9]{1,5})?\n?", text)
    return repr(text) if plain else "a text that is no host name"


def host_problem(host: str, region: str) -> str | None:
    """Why ``host`` cannot be a DSQL endpoint of ``region``, or ``None`` when it can be one."""
    match = _DSQL_HOST.fullmatch(host)
    if match is None:
        return f"{shown(host)} is not a DSQL endpoint (<26 characters>.dsql.<region>.on.aws, lower case)"
    if match["region"] != region:
        return f"{host!r} is an endpoint of {match['region']}, not of {region!r}"
    return None


def region_of_host(host: str) -> str | None:
    """The Region of a DSQL endpoint by its name, or ``None`` when ``host`` cannot be one."""
    match = _DSQL_HOST.fullmatch(host)
    return None if match is None else match["region"]
