"""Makes the DNS answer to one query out of zones, health and the client's Region; no sockets.

The zone with the longest matching name answers; within it: exact names, then wildcards, delegations as
referrals. CNAMEs are followed while the lab knows the next name. The static names (hosts of the lab
itself, such as a Region's DSQL endpoint) are known like a zone of their own, so that one query shows the
address in the end. On AWS that last part is the work of the client's resolver.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from beacon_lab.route53.distances import region_of_client
from beacon_lab.route53.records import Healthy, RecordSet, Zone, choose

STATIC_TTL_S = 5
_CHAIN_LIMIT = 8
_CLIENT_PREFIX = 16  # bits of the test subnets: what the ECS answer's scope says
_PAYLOAD = 1232

_Types = Mapping[dns.rdatatype.RdataType, Sequence[RecordSet]]
_NOTHING: _Types = {}


@dataclass(frozen=True, slots=True)
class Client:
    """Where a query counts as coming from; the subnet option that said so, if one did."""

    region: str
    subnet: dns.edns.ECSOption | None = None


def client_of(query: dns.message.Message, default_region: str) -> Client:
    """The client's Region: by its EDNS client subnet where that is a test subnet, else the default."""
    for option in query.options:
        if isinstance(option, dns.edns.ECSOption):
            region = region_of_client(option.address)
            scope = _CLIENT_PREFIX if region is not None and option.srclen >= _CLIENT_PREFIX else 0
            echoed = dns.edns.ECSOption(option.address, option.srclen, scope)
            return Client(region if region is not None and scope else default_region, echoed)
    return Client(default_region)


class ZoneIndex:
    """The zones of one view, by name and type."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._zones = {dns.name.from_text(zone.name): _by_name(zone) for zone in zones}

    def zone_of(self, name: dns.name.Name) -> dns.name.Name | None:
        """The origin of the closest zone that holds ``name``."""
        while name not in self._zones:
            if name == dns.name.root:
                return None
            name = name.parent()
        return name

    def find(self, origin: dns.name.Name, name: dns.name.Name) -> _Types | None:
        """The types at ``name`` (none between names), by wildcard if need be; None for no such name."""
        names = self._zones[origin]
        if name in names:
            return names[name]
        while name != origin:
            name = name.parent()
            if (wildcard := dns.name.Name((b"*", *name.labels))) in names:
                return names[wildcard]
            if name in names:
                return None
        return None

    def delegation(
        self, origin: dns.name.Name, name: dns.name.Name
    ) -> tuple[dns.name.Name, RecordSet] | None:
        """The NS records at or above ``name`` that hand it to another zone."""
        while name != origin:
            servers = self._zones[origin].get(name, _NOTHING).get(dns.rdatatype.NS)
            if servers:
                return name, servers[0]
            name = name.parent()
        return None


def _by_name(zone: Zone) -> dict[dns.name.Name, _Types]:
    origin = dns.name.from_text(zone.name)
    names: dict[dns.name.Name, defaultdict[dns.rdatatype.RdataType, list[RecordSet]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for record in zone.records:
        name = dns.name.from_text(record.name)
        names[name][dns.rdatatype.from_text(record.type)].append(record)
        while name != origin and name.is_subdomain(origin):
            name = name.parent()
            names[name]  # names between exist too: they answer "no such data", not "no such name"
    return {name: dict(types) for name, types in names.items()}


@dataclass(frozen=True, slots=True)
class Answerer:
    """All that an answer depends on, at one moment."""

    index: ZoneIndex
    healthy: Healthy
    static: Mapping[dns.name.Name, ipaddress.IPv4Address]
    chance: Random

    def answer(self, query: dns.message.Message, default_region: str) -> dns.message.Message:
        """The response to one well-formed query."""
        response = dns.message.make_response(query, our_payload=_PAYLOAD)
        if query.edns > 0:
            response.use_edns(edns=0, payload=_PAYLOAD)
            response.set_rcode(dns.rcode.BADVERS)
        elif query.opcode() != dns.opcode.QUERY:
            response.set_rcode(dns.rcode.NOTIMP)
        elif len(query.question) != 1:
            response.set_rcode(dns.rcode.FORMERR)
        else:
            client = client_of(query, default_region)
            if client.subnet is not None:
                response.use_edns(edns=0, payload=_PAYLOAD, options=[client.subnet])
            self._resolve(response, client)
        return response

    def _resolve(self, response: dns.message.Message, client: Client) -> None:
        question = response.question[0]
        if question.rdclass != dns.rdataclass.IN or dns.rdatatype.is_metatype(question.rdtype):
            response.set_rcode(dns.rcode.REFUSED)
            return
        response.flags |= dns.flags.AA
        name = question.name
        for link in range(_CHAIN_LIMIT):
            target = self._link(response, client, name, question.rdtype, first=link == 0)
            if target is None:
                return
            name = target

    def _link(
        self,
        response: dns.message.Message,
        client: Client,
        name: dns.name.Name,
        rdtype: dns.rdatatype.RdataType,
        *,
        first: bool,
    ) -> dns.name.Name | None:
        """Answer for one name of the chain; the CNAME's target where the chain continues."""
        if name in self.static:
            if rdtype == dns.rdatatype.A:
                response.answer.append(
                    dns.rrset.from_text(name, STATIC_TTL_S, "IN", "A", str(self.static[name]))
                )
            return None
        origin = self.index.zone_of(name)
        if origin is None:
            if first:
                response.flags &= ~dns.flags.AA
                response.set_rcode(dns.rcode.REFUSED)
            return None
        if (handed := self.index.delegation(origin, name)) is not None:
            if first:
                response.flags &= ~dns.flags.AA
            response.authority.append(_rrset(handed[0], dns.rdatatype.NS, handed[1]))
            return None
        types = self.index.find(origin, name)
        for kind in (rdtype, dns.rdatatype.CNAME):
            if types and kind in types:
                chosen = choose(
                    types[kind], healthy=self.healthy, client_region=client.region, chance=self.chance
                )
                rrset = _rrset(name, kind, chosen)
                response.answer.append(rrset)
                followed = kind == dns.rdatatype.CNAME and rdtype != dns.rdatatype.CNAME
                target: dns.name.Name | None = rrset[0].target if followed else None
                return target
        self._nothing_here(response, origin, exists=types is not None)
        return None

    def _nothing_here(self, response: dns.message.Message, origin: dns.name.Name, *, exists: bool) -> None:
        if not exists:
            response.set_rcode(dns.rcode.NXDOMAIN)
        types = self.index.find(origin, origin) or _NOTHING
        for record in types.get(dns.rdatatype.SOA, ())[:1]:
            soa = _rrset(origin, dns.rdatatype.SOA, record)
            soa.ttl = min(soa.ttl, soa[0].minimum)  # RFC 2308: how long the absence may be remembered
            response.authority.append(soa)


def _rrset(name: dns.name.Name, kind: dns.rdatatype.RdataType, record: RecordSet) -> dns.rrset.RRset:
    # Values are absolute with or without the trailing dot, as in Route 53.
    return dns.rrset.from_text_list(
        name,
        record.ttl_s,
        "IN",
        dns.rdatatype.to_text(kind),
        record.values,
        origin=dns.name.root,
        relativize=False,
    )


def servable(record: RecordSet) -> str | None:
    """Why ``record`` cannot be put into a DNS answer, as one sentence; None when it can."""
    try:
        _rrset(dns.name.from_text(record.name), dns.rdatatype.from_text(record.type), record)
    except (dns.exception.DNSException, ValueError) as error:
        return f"{record.name} {record.type}: {str(error) or type(error).__name__}"
    if not record.values:
        return f"{record.name} {record.type}: no values"
    return None
