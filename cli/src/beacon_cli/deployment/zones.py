"""Finds the public hosted zone that a record's name belongs to."""

from __future__ import annotations

from beacon_cli.aws_failures import FAILURES, aws_error
from beacon_cli.errors import FailedError, WrongUseError
from beacon_cli.sessions import Sessions

__all__ = ["zone_of"]


def zone_of(sessions: Sessions, record_name: str, wanted: str = "") -> str:
    """The id of the public zone with the longest name that ``record_name`` ends with.

    ``wanted`` is a zone's id or name that has to be it. Raises :class:`~beacon_cli.errors.CommandError` with
    the zones that there are.
    """
    try:
        pages = sessions.route53().get_paginator("list_hosted_zones").paginate()
        rows = [row for page in pages for row in page["HostedZones"]]
    except FAILURES as error:
        raise aws_error(error, "Route 53") from error
    zones = {
        row["Id"].rpartition("/")[2]: row["Name"].rstrip(".")
        for row in rows
        if not row.get("Config", {}).get("PrivateZone")
    }
    if wanted:
        zones = {key: name for key, name in zones.items() if wanted.rstrip(".") in (key, name)}
        if not zones:
            raise WrongUseError(f"this account has no public hosted zone {wanted}")
    fitting = {key: name for key, name in zones.items() if f".{record_name}".endswith(f".{name}")}
    if not fitting:
        shown = ", ".join(sorted(zones.values())) or "none"
        raise FailedError(
            f"{record_name} is in no public hosted zone of this account: it has {shown}",
            "aws route53 list-hosted-zones",
        )
    longest = max(fitting.values(), key=len)
    several = sorted(key for key, name in fitting.items() if name == longest)
    if len(several) > 1:
        raise WrongUseError(f"{longest} has several hosted zones: name one with --zone {several[0]}")
    return several[0]
