"""`beacon init`: what a deployment needs, found or asked for, and the samconfig.toml that says it."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from beacon_cli.configuration.samconfig import GLOBAL, ConfigurationError, read_deployments
from beacon_cli.deployment.clusters import LinkedCluster, find_linked
from beacon_cli.deployment.example import LINES, PLACEHOLDER, file_text, global_section, region_section
from beacon_cli.deployment.zones import zone_of
from beacon_cli.errors import WrongUseError, not_among
from beacon_cli.fleet import Fleet, Site
from beacon_cli.lab_ready import fleet_of_lab
from beacon_cli.looking import require_credentials
from beacon_cli.options import Options
from beacon_cli.sessions import Sessions

__all__ = ["POLICIES", "Wishes", "initialise", "text_of"]

POLICIES = ("failover", "latency", "weighted", "none")
#: The defaults of App and Env in the templates.
_APP, _ENV = "beacon", "prod"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_RECORD = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
#: The file still is the example while these hold the placeholder.
_NEEDED = {"PathToken", "DsqlClusterArns", "DsqlEndpoint"}
#: What `init` finds out itself, so that `--set` may not.
_FOUND = {"App", "Env", "DsqlClusterArns", "DsqlEndpoint", "PeerEndpoints", "RoutingPolicy", "HostedZoneId"}
_FOUND |= {"RecordName", "FailoverRole", "PathToken"}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says; an empty text is not said."""

    region: str = ""
    cluster: str = ""
    app: str = ""
    env: str = ""
    record: str = ""
    zone: str = ""
    policy: str = ""
    primary: str = ""
    values: Mapping[str, str] | None = None
    force: bool = False


def initialise(wishes: Wishes, options: Options) -> dict[str, object]:
    """Find everything, write the file and return what it holds, without the path token.

    Raises :class:`~beacon_cli.errors.CommandError` before anything is written.
    """
    path = options.config_file
    _require_free(path, force=wishes.force)
    fleet = _place_of(wishes, options)
    wishes = _completed(wishes, fleet)
    _require_usable(wishes)
    sessions = Sessions(fleet, options.profile, patient=True)
    if fleet.lab is None:
        require_credentials(sessions)
    clusters = find_linked(sessions, fleet.sites[0].region, wishes.cluster)
    if wishes.primary and wishes.primary not in [one.region for one in clusters]:
        raise not_among("Region", wishes.primary, [one.region for one in clusters], "the linked clusters")
    clusters = tuple(sorted(clusters, key=lambda one: one.region != wishes.primary))
    zone = "" if wishes.policy == "none" else zone_of(sessions, wishes.record, wishes.zone)
    path.write_text(text_of(wishes, clusters, zone, secrets.token_hex(16), options.profile), encoding="utf-8")
    path.chmod(0o600)  # it holds the path token
    return {
        "file": str(path),
        "service": f"{wishes.app}-{wishes.env}",
        "regions": {one.region: one.host for one in clusters},
        "policy": wishes.policy,
        "record": wishes.record if zone else "",
        "zone": zone,
    }


def text_of(
    wishes: Wishes, clusters: Sequence[LinkedCluster], zone: str, token: str, profile: str | None
) -> str:
    """The file for ``clusters``, the PRIMARY first; pure."""
    service = f"{wishes.app}-{wishes.env}"
    shared = {
        "App": wishes.app,
        "Env": wishes.env,
        "PathToken": token,
        "DsqlClusterArns": ",".join(one.arn for one in clusters),
        "RoutingPolicy": wishes.policy,
        "HostedZoneId": zone,
        "RecordName": wishes.record if zone else "",
        **(wishes.values or {}),
    }
    sections = []
    for number, one in enumerate(clusters):
        role = "PRIMARY" if number == 0 else "SECONDARY"
        peers = [f"{other.region}={other.host}" for other in clusters if other is not one]
        own = {
            "DsqlEndpoint": one.host,
            "PeerEndpoints": ",".join(peers),
            "FailoverRole": role if wishes.policy in ("failover", "none") else "",
        }
        section = region_section(one.region, service, shared | own)
        if profile:
            section = section.replace("\n\n", f'\nprofile = "{profile}"\n\n', 1)
        sections.append(section)
    topic = (wishes.values or {}).get("AlarmTopicArn", "")
    sections.append(global_section(wishes.app, wishes.env, [one.region for one in clusters], topic))
    head = (
        f"Written by `beacon init` for {service}. The next command:\n"
        "\n"
        "  beacon deploy --all --go\n"
        "\n"
        "Every parameter has a line, even with its default. If you remove a line, nothing changes:\n"
        "CloudFormation keeps the stack's value. To reset a parameter, write its default; write an empty\n"
        "default as NAME=''.\n"
        "PathToken opens /health to any Route 53 checker: keep this file private."
    )
    return file_text(head, sections)


def _require_free(path: Path, *, force: bool) -> None:
    """Refuse to write over a file that describes a deployment; the example with its placeholders is none."""
    if force or not path.exists():
        return
    try:
        found = [one for name, one in read_deployments(path).items() if name != GLOBAL]
    except ConfigurationError:
        found = []
    if not found or any(not set(one.placeholders) >= _NEEDED for one in found):
        raise WrongUseError(
            f"{path} is there and is not overwritten", "beacon init --force, or --config-file OTHER.toml"
        )


def _place_of(wishes: Wishes, options: Options) -> Fleet:
    """The Region to look in, as a fleet of its own; in a lab, all of its Regions."""
    if options.lab is not None:
        fleet = fleet_of_lab(options.lab)
        if wishes.region:
            first = fleet.site(wishes.region)
            fleet = replace(fleet, sites=(first, *(site for site in fleet.sites if site is not first)))
        return fleet
    import boto3  # noqa: PLC0415 - half a second that `--help` does without
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

    try:
        region = wishes.region or boto3.Session(profile_name=options.profile).region_name
    except BotoCoreError as error:
        raise WrongUseError(str(error)) from error
    if not region or not _REGION.fullmatch(region):
        shown = f"{region!r} is no Region" if region else "no Region is set"
        raise WrongUseError(f"{shown}: name one of the cluster's Regions", "beacon init --region us-east-1")
    return Fleet(wishes.app or _APP, wishes.env or _ENV, (Site(region, "", "", options.profile),), "AWS")


def _completed(wishes: Wishes, fleet: Fleet) -> Wishes:
    """``wishes`` with defaults, and with the answers to what only a person knows."""
    in_lab = fleet.lab is not None
    wishes = replace(
        wishes,
        app=wishes.app or (fleet.app if in_lab else _APP),
        env=wishes.env or (fleet.env if in_lab else _ENV),
        record=(wishes.record or (fleet.record_name if in_lab else "")).rstrip("."),
    )
    if wishes.policy == "none":
        return wishes
    if not wishes.record:
        wishes = replace(
            wishes, record=_asked("DNS name for clients, such as db.example.com (empty: no record)")
        )
    if not wishes.record:
        if wishes.policy:
            raise WrongUseError("a record needs a name: --record db.example.com, or --policy none")
        return replace(wishes, policy="none")
    return replace(wishes, policy=wishes.policy or POLICIES[0])


def _asked(question: str) -> str:
    if not sys.stdin.isatty():
        raise WrongUseError(
            "name the record that clients look up, or none", "beacon init --record db.example.com"
        )
    try:
        return input(f"{question}: ").strip().rstrip(".")
    except EOFError:
        return ""


def _require_usable(wishes: Wishes) -> None:
    wrong = [
        f"--{what} {name!r} is not lower case letters, digits and -"
        for what, name in (("app", wishes.app), ("env", wishes.env))
        if not _NAME.fullmatch(name)
    ]
    if wishes.policy not in POLICIES:
        wrong.append(f"--policy is one of {', '.join(POLICIES)}, not {wishes.policy!r}")
    if wishes.policy != "none" and not _RECORD.fullmatch(wishes.record):
        wrong.append(f"--record {wishes.record!r} is no DNS name")
    known = {line.name for line in LINES}
    for name, value in (wishes.values or {}).items():
        if name in _FOUND:
            wrong.append(f"--set {name}: beacon init finds that out itself")
        elif name not in known:
            wrong.append(f"--set {name} is no parameter of template.yaml")
        elif any(character in value for character in "'\"\\") or PLACEHOLDER in value:
            wrong.append(f"--set {name} holds a quotation mark, a backslash or {PLACEHOLDER}")
    if wrong:
        raise WrongUseError("; ".join(wrong))
