"""Where a client learns endpoints: the SSM document, a DNS name, a list.

A source fetches a text, and it reads a text. The two are apart, so that a text from the copy on disk passes
the same rules as one that was fetched. :mod:`beacon.client.feed` decides when to fetch, and keeps the last
good text.

A source imports its library when it fetches: boto3 for SSM, dnspython for DNS.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from beacon.client.arguments import choices, listed, number, require_none, text
from beacon.client.candidates import Candidate, from_document
from beacon.document.form import DocumentError, Expected
from beacon.document.reader import Reader
from beacon.model import Endpoint
from beacon.names import TARGET, host_problem, region_of_host, service_name, shown

if TYPE_CHECKING:
    from beacon.document.store import ParameterStore

__all__ = ["DnsRecord", "Fetched", "Source", "SourceError", "SsmDocument", "StaticList"]

#: The time for all answers of one DNS record, in seconds: it bounds how long the feed's thread waits.
_DNS_S = 3.0
_MOST_ALIASES = 8
_DNS_NAME = re.compile(
    r"(?=.{1,253}\.?$)([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)+[a-zA-Z]{2,63}\.?"
)


class SourceError(Exception):
    """A source did not answer, or its answer cannot be used. The text is fit for a log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source answered, and for how many seconds that holds where the source limits it (a TTL)."""

    text: str
    good_for_s: float | None = None


class Source(Protocol):
    """One place to learn endpoints; used by one thread at a time."""

    @property
    def name(self) -> str:
        """What to call it in messages, and in the copy on disk; unlike that of any other source in use."""

    def fetch(self) -> Fetched:
        """Ask; may take seconds. Raises :class:`SourceError`."""

    def accept(self, text: str, now: datetime) -> None:
        """Use ``text`` from ``now`` (UTC) on; for a bad one keep the last, raise :class:`SourceError`."""

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:
        """The candidates by the last text that was accepted; none before the first."""

    def as_of(self) -> datetime | None:
        """When what was accepted last was true, if it says so itself."""


class SsmDocument:
    """The document that a Region's publisher keeps in SSM Parameter Store (default: this Region's).

    Raises ``ValueError`` with every reason at once.

    :param app: the parameter ``App`` of the deployment, such as ``"beacon"``.
    :param env: the parameter ``Env`` of the deployment, such as ``"prod"``.
    :param region: the Region whose parameter is read; default ``None``: ``AWS_REGION``, then
        ``AWS_DEFAULT_REGION``.
    :param target: the target that the document is about; default ``"dsql"``.
    :param hosts: the only endpoints that are believed; default none named: every DSQL endpoint is.
    :param environment: where the Region is looked up; default ``None``: the process's environment.
    """

    def __init__(
        self,
        app: str,
        env: str,
        *,
        region: str | None = None,
        target: str = TARGET,
        hosts: Collection[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        # Not as a default value, which help() would show with all that is secret in it.
        environment = os.environ if environment is None else environment
        found = region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
        problems = text("app", app, "beacon") + text("env", env, "prod") + text("target", target, TARGET)
        if not found:
            problems.append("no Region: set AWS_REGION, or pass region=")
        else:
            problems += text("region", found, "us-east-1")
        hosts = listed(hosts)
        problems += choices("hosts", hosts, "hosts=[{}]") or [
            problem for host in hosts if (problem := host_problem(host, region_of_host(host) or ""))
        ]
        require_none(problems)
        assert found  # noqa: S101 - refused above
        self._region = found
        self._path = f"/{app}/{env}/{target}"
        self._reader = Reader(Expected(service_name(app, env), target, found, frozenset(hosts)))
        self._store: ParameterStore | None = None

    @property
    def name(self) -> str:
        """See :class:`Source`."""
        return f"ssm:{self._region}:{self._path}/document"

    def fetch(self) -> Fetched:
        """See :class:`Source`; needs ``ssm:GetParameters`` on that parameter."""
        try:
            from beacon.document.store import ParameterStore, StoreError  # noqa: PLC0415 - boto3 is heavy
        except ImportError:
            raise SourceError("boto3 is not installed: install dsql-beacon[ssm]") from None
        if self._store is None:
            self._store = ParameterStore(self._path, self._region)
        try:
            text = self._store.read_document()
        except StoreError as error:
            raise SourceError(str(error)) from None
        if text is None:
            raise SourceError(f"there is no parameter {self._path}/document in {self._region}")
        return Fetched(text)

    def accept(self, text: str, now: datetime) -> None:
        """See :class:`Source`; the rules are :mod:`beacon.document.reader`'s."""
        try:
            self._reader.accept(text, now)
        except DocumentError as error:
            raise SourceError(f"the document is ignored: {error}") from None

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:
        """See :class:`Source`."""
        document = self._reader.last
        return () if document is None else from_document(document, now)

    def as_of(self) -> datetime | None:
        """See :class:`Source`."""
        return None if self._reader.last is None else self._reader.last.as_of


class DnsRecord:
    """A DNS name that leads to a DSQL endpoint, as Beacon's failover, latency and weighted records do.

    The certificate and the token are for the endpoint's own name, so the source follows the record to it.
    Raises ``ValueError`` with every reason at once.

    :param record: the name, such as ``"db.example.com"``.
    :param nameservers: addresses of the servers to ask; default none: the system's.
    :param port: the port of these servers; default 53.
    """

    def __init__(self, record: str, *, nameservers: Collection[str] = (), port: int = 53) -> None:
        problems = text("record", record, "db.example.com") if record != "" else []
        if not problems and not _DNS_NAME.fullmatch(record):
            problems.append(f"{shown(record)} is not a DNS name")
        nameservers = listed(nameservers)
        problems += choices("nameservers", nameservers, "nameservers=[{}]") or [
            f"{shown(each)} is not an address" for each in nameservers if not _is_address(each)
        ]
        require_none(problems + number("port", port, 1, 65535, whole=True))
        self._record = record
        self._nameservers = tuple(nameservers)
        self._port = port
        self._endpoint: Endpoint | None = None

    @property
    def name(self) -> str:
        """See :class:`Source`."""
        return f"dns:{self._record}"

    def fetch(self) -> Fetched:
        """See :class:`Source`: CNAME by CNAME, so as to stop at the endpoint and not at its aliases."""
        try:
            import dns.exception  # noqa: PLC0415 - only this source needs it
            import dns.resolver  # noqa: PLC0415
        except ImportError:
            raise SourceError("dnspython is not installed: install dsql-beacon[dns]") from None
        name, ttl_s, end = self._record, float("inf"), time.monotonic() + _DNS_S
        try:
            resolver = dns.resolver.Resolver(configure=not self._nameservers)
            if self._nameservers:
                resolver.nameservers, resolver.port = list(self._nameservers), self._port
            for _ in range(_MOST_ALIASES):
                answer = resolver.resolve(name, "CNAME", lifetime=end - time.monotonic())
                name = answer[0].target.to_text(omit_final_dot=True).lower()
                ttl_s = min(ttl_s, float(answer.rrset.ttl if answer.rrset is not None else 0))
                if region_of_host(name) is not None:
                    return Fetched(name, ttl_s)
        except dns.exception.DNSException as error:
            raise SourceError(f"{self._record} leads to no DSQL endpoint: {type(error).__name__}") from None
        raise SourceError(f"{self._record} leads to no DSQL endpoint: too many aliases")

    def accept(self, text: str, now: datetime) -> None:  # noqa: ARG002 - a name has no date
        """See :class:`Source`."""
        region = region_of_host(text)
        if region is None:
            raise SourceError(f"{self._record} leads to what is no DSQL endpoint")
        self._endpoint = Endpoint(region, text)

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - as above
        """See :class:`Source`."""
        return () if self._endpoint is None else (Candidate(self._endpoint),)

    def as_of(self) -> datetime | None:
        """See :class:`Source`."""
        return None


class StaticList:
    """Endpoints that are simply given, and never asked for again.

    Raises ``ValueError`` with every reason at once.

    :param endpoints: a list of ``host`` or ``host:port``, best first; the port is 5432 without one.
    """

    def __init__(self, endpoints: Collection[str]) -> None:
        endpoints = listed(endpoints)
        require_none(choices("endpoints", endpoints, "StaticList([{}])"))
        problems: list[str] = []
        found: list[Endpoint] = []
        for given in endpoints:
            host, colon, port = given.partition(":")
            region = region_of_host(host) or ""
            problem = host_problem(host, region)
            if (
                problem is None
                and colon
                and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)
            ):
                problem = f"{shown(port)} is not a port"
            if problem is None and any(host == other.host for other in found):
                problem = f"{host} is named twice"
            if problem is not None:
                problems.append(problem)
            else:
                found.append(Endpoint(region, host, int(port) if colon else 5432))
        if not endpoints:
            problems.append("name at least one endpoint")
        require_none(problems)
        self._candidates = tuple(Candidate(endpoint) for endpoint in found)

    @property
    def name(self) -> str:
        """See :class:`Source`."""
        return "list"

    def fetch(self) -> Fetched:
        """See :class:`Source`."""
        return Fetched("", float("inf"))

    def accept(self, text: str, now: datetime) -> None:
        """See :class:`Source`."""

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:  # noqa: ARG002 - a list is always good
        """See :class:`Source`."""
        return self._candidates

    def as_of(self) -> datetime | None:
        """See :class:`Source`."""
        return None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
