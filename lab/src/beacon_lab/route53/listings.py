"""Parses what Route 53's API lists (XML) into zones, record sets and health checks.

Two defects of the simulator are corrected here. An update of a health check forgets Regions and
ChildHealthChecks; on AWS, what an update does not name stays. The SOA record that it makes with a zone is not
valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from beacon_lab.route53.records import Failover, RecordSet
from beacon_lab.route53.rules import CHECKER_REGIONS, CheckType, HealthCheck

_NS = "{https://route53.amazonaws.com/doc/2013-04-01/}"
_STICKY = ("Regions", "ChildHealthChecks")


class UnreadableError(Exception):
    """The API's answer is not the listing that the request names."""


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """A listed health check: scalars as text, lists as tuples, by their names in the API."""

    id: str
    fields: Mapping[str, object]


@dataclass(slots=True)
class Parsed:
    """The record sets of a listing, and a sentence for each one that the lab cannot serve."""

    records: list[RecordSet] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class StickyFields:
    """Remembers, per health check, the lists that the simulator forgets on update."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, object]] = {}

    def apply(self, config: CheckConfig) -> dict[str, object]:
        """The fields of ``config``, completed by what was listed before."""
        known = self._known.setdefault(config.id, {})
        known.update({name: config.fields[name] for name in _STICKY if config.fields.get(name)})
        return {**config.fields, **known}


def _root(listing: str) -> ET.Element:
    try:
        return ET.fromstring(listing)  # noqa: S314 - from our own child process, never from outside
    except ET.ParseError as error:
        raise UnreadableError(f"not XML: {error}") from error


def zones(listing: str) -> list[tuple[str, str]]:
    """Id (without its path) and absolute lower-case name of each public zone. Raises UnreadableError."""
    return [
        (_text(zone, "Id").rpartition("/")[2], _absolute(_text(zone, "Name")))
        for zone in _root(listing).iter(f"{_NS}HostedZone")
        if _text(zone, f"Config/{_NS}PrivateZone") != "true"
    ]


def health_checks(listing: str) -> Iterator[CheckConfig]:
    """Each health check as it is listed. Raises UnreadableError."""
    for element in _root(listing).iter(f"{_NS}HealthCheck"):
        config = element.find(f"{_NS}HealthCheckConfig")
        if config is not None:
            yield CheckConfig(_text(element, "Id"), {_name(member): _value(member) for member in config})


def health_check(check_id: str, fields: Mapping[str, object]) -> HealthCheck:
    """The definition that API fields describe. Raises ValueError for what Route 53 or the lab refuses."""
    try:
        kind = CheckType(str(fields.get("Type")))
    except ValueError:
        raise ValueError(f"health check {check_id}: the lab has no type {fields.get('Type')}") from None
    regions, children = fields.get("Regions"), fields.get("ChildHealthChecks")
    return HealthCheck(
        id=check_id,
        type=kind,
        fqdn=str(fields.get("FullyQualifiedDomainName") or ""),
        ip_address=str(fields.get("IPAddress") or ""),
        port=int(str(fields.get("Port") or (443 if kind.tls else 80))),
        path=str(fields.get("ResourcePath") or "/"),
        search_string=str(fields.get("SearchString") or ""),
        request_interval_s=int(str(fields.get("RequestInterval") or 30)),
        failure_threshold=int(str(fields.get("FailureThreshold") or 3)),
        inverted=_flag(fields.get("Inverted")),
        disabled=_flag(fields.get("Disabled")),
        enable_sni=_flag(fields.get("EnableSNI")),
        regions=_strings(regions) or CHECKER_REGIONS,
        children=_strings(children),
        health_threshold=int(str(fields.get("HealthThreshold") or 0)),
    )


def record_sets(listing: str) -> Parsed:
    """The record sets of one zone; what the lab cannot serve becomes a sentence. Raises UnreadableError."""
    parsed = Parsed()
    kept: dict[tuple[str, str, str], RecordSet] = {}
    for element in _root(listing).iter(f"{_NS}ResourceRecordSet"):
        name, kind = _absolute(_text(element, "Name")), _text(element, "Type")
        for unsupported in (
            "AliasTarget",
            "GeoLocation",
            "MultiValueAnswer",
            "CidrRoutingConfig",
            "GeoProximityLocation",
        ):
            if element.find(f"{_NS}{unsupported}") is not None:
                parsed.refused.append(f"{name} {kind}: the lab does not serve {unsupported}")
                break
        else:
            try:
                record = _record_set(element, name, kind)
            except ValueError as error:
                parsed.refused.append(str(error))
            else:
                # The simulator accepts the same record twice; Route 53 does not. The later one stays.
                kept[name, kind, record.set_identifier] = record
    parsed.records = list(kept.values())
    return parsed


def _record_set(element: ET.Element, name: str, kind: str) -> RecordSet:
    weight, failover = _text(element, "Weight"), _text(element, "Failover")
    values = tuple(value.text or "" for value in element.iter(f"{_NS}Value"))
    if kind == "SOA":
        values = tuple(_plain_soa(value) for value in values)
    return RecordSet(
        name=name,
        type=kind,
        ttl_s=int(_text(element, "TTL") or 0),
        values=values,
        set_identifier=_text(element, "SetIdentifier"),
        health_check_id=_text(element, "HealthCheckId"),
        failover=Failover(failover) if failover else None,
        region=_text(element, "Region"),
        weight=int(weight) if weight else None,
    )


def _plain_soa(value: str) -> str:
    """The SOA's text, out of the Python literal that the simulator wraps its own SOA in."""
    return value.removeprefix("{'Value': '").removesuffix("'}")


def _strings(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, (list, tuple)) else ()


def _flag(value: object) -> bool:
    return str(value).lower() == "true"


def _absolute(name: str) -> str:
    # The API writes an asterisk as \052.
    return name.lower().replace("\\052", "*").rstrip(".") + "."


def _text(element: ET.Element, path: str) -> str:
    return element.findtext(f"{_NS}{path}") or ""


def _name(element: ET.Element) -> str:
    return element.tag.removeprefix(_NS)


def _value(element: ET.Element) -> object:
    return tuple(child.text or "" for child in element) if len(element) else element.text or ""
