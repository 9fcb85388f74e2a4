"""Where the record leads, asked of the zone's own name server and of this machine's resolver.

The record is a CNAME, or an alias, which answers with addresses. An address belongs to the Region whose own
name resolves to it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import dns.resolver

from beacon_cli.fleet import Fleet
from beacon_cli.situation.model import Fact, Known, RecordAnswer, Unknown

__all__ = ["OWN", "RESOLVER", "read_authoritative", "read_cached"]

OWN = "the zone's name server"
RESOLVER = "this machine's resolver"
_ASKS = (OSError, dns.exception.DNSException)


def read_authoritative(fleet: Fleet, targets: Mapping[str, str], within_s: float) -> Fact[RecordAnswer]:
    """What the zone's own name server answers; ``targets`` maps a name to its Region."""
    end = time.monotonic() + within_s
    try:
        address, port = fleet.lab.dns if fleet.lab else (_name_server(fleet.record_name, end), 53)
        query = dns.message.make_query(fleet.record_name, dns.rdatatype.CNAME)
        query.flags &= ~dns.flags.RD
        answer = _ask(query, address, port, end)
        if answer.rcode() == dns.rcode.NOERROR and not answer.answer:
            query = dns.message.make_query(fleet.record_name, dns.rdatatype.A)
            answer = _ask(query, address, port, end)
    except _ASKS as error:
        return Unknown(_why(OWN, fleet.record_name, error))
    if answer.rcode() != dns.rcode.NOERROR or not answer.answer:
        return Unknown(f"{OWN} has no {fleet.record_name}: the record is not on ({_rcode(answer)})")
    first = answer.answer[0]
    found = _answer(first[0].to_text(), int(first.ttl), targets, address)
    if not found.region and first.rdtype == dns.rdatatype.A:
        found = _of_addresses(found, {row.to_text() for row in first}, targets, end)
    return Known(found)


def read_cached(fleet: Fleet, targets: Mapping[str, str], within_s: float) -> Fact[RecordAnswer]:
    """What this machine's resolver answers, with what is left of the TTL."""
    end = time.monotonic() + within_s
    try:
        resolver = dns.resolver.Resolver()
        try:
            found = resolver.resolve(fleet.record_name, "CNAME", lifetime=within_s)
        except dns.resolver.NoAnswer:
            found = resolver.resolve(fleet.record_name, "A", lifetime=within_s)
    except _ASKS as error:
        return Unknown(_why(RESOLVER, fleet.record_name, error))
    ttl = int(found.rrset.ttl) if found.rrset is not None else 0
    answer = _answer(found[0].to_text(), ttl, targets, str(found.nameserver or ""))
    if answer.is_address:
        answer = _of_addresses(answer, {row.to_text() for row in found}, targets, end)
    return Known(answer)


def _answer(text: str, ttl_s: int, targets: Mapping[str, str], server: str) -> RecordAnswer:
    target = text.rstrip(".").lower()
    return RecordAnswer(target, targets.get(target, ""), ttl_s, server)


def _of_addresses(
    found: RecordAnswer, shown: Collection[str], targets: Mapping[str, str], end: float
) -> RecordAnswer:
    return replace(found, addresses=frozenset(shown), region=_region_of(shown, targets, end))


def _ask(query: dns.message.Message, address: str, port: int, end: float) -> dns.message.Message:
    left_s = max(0.05, end - time.monotonic())
    answer, _ = dns.query.udp_with_fallback(query, address, port=port, timeout=left_s)
    return answer


def _region_of(addresses: Collection[str], targets: Mapping[str, str], end: float) -> str:
    """The Region whose own name resolves to one of ``addresses``; empty where none does in time."""
    for name, region in targets.items():
        try:
            own = dns.resolver.resolve(name, "A", lifetime=max(0.05, end - time.monotonic()))
        except _ASKS:
            continue
        if any(row.to_text() in addresses for row in own):
            return region
    return ""


def _name_server(name: str, end: float) -> str:
    """The address of a name server of the zone that holds ``name``."""
    zone = dns.resolver.zone_for_name(name, lifetime=max(0.05, end - time.monotonic()))
    servers = dns.resolver.resolve(zone, "NS", lifetime=max(0.05, end - time.monotonic()))
    host = servers[0].target
    found = dns.resolver.resolve(host, "A", lifetime=max(0.05, end - time.monotonic()))
    return str(found[0].to_text())


def _why(who: str, name: str, error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return f"{who} does not answer for {name}"
    if isinstance(error, dns.resolver.NXDOMAIN):
        return f"{who} knows no {name}: the record is not on, or the zone is not delegated"
    return f"{who} cannot answer for {name}: {type(error).__name__}"


def _rcode(answer: dns.message.Message) -> str:
    return dns.rcode.to_text(answer.rcode())
