"""Where a client learns of endpoints: the SSM document, a DNS name, a list.

A source fetches a text and reads a text; the two are apart, so that a text that was kept goes through the
same rules as one that was fetched. :mod:`beacon.client.feed` decides when, and keeps the last good one.

What a source needs of libraries is imported when it fetches: boto3 for SSM, dnspython for DNS.
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

from beacon.client.candidates import Candidate, from_document
from beacon.document.form import DocumentError, Expected
from beacon.document.reader import Reader
from beacon.model import Endpoint
from beacon.names import TARGET, host_problem, region_of_host, service_name

if TYPE_CHECKING:
    from beacon.document.store import ParameterStore

__all__ = ["DnsRecord", "Fetched", "Source", "SourceError", "SsmDocument", "StaticList"]

#: All the answers that a DNS record takes; a feed has a thread for each source, which is not held up longer.
_DNS_S = 3.0
_MOST_ALIASES = 8
_DNS_NAME = re.compile(
    r"(?=.{1,253}\.?$)([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)+[a-zA-Z]{2,63}\.?"
)


class SourceError(Exception):
    """A source could not be asked, or said what cannot be used. The text is fit for a log."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source said; ``good_for_s`` is how long, where the source itself limits that (a TTL)."""

    text: str
    good_for_s: float | None = None


class Source(Protocol):
    """One place to learn of endpoints; used by one thread at a time."""

    @property
    def name(self) -> str:
        """What to call it in messages, and in the copy on disk; unlike that of any other source in use."""

    def fetch(self) -> Fetched:
        """Ask; may take seconds. Raises :class:`SourceError`."""

    def accept(self, text: str, now: datetime) -> None:
        """Go on with ``text`` from now (UTC) on; raises :class:`SourceError` and keeps the last one then."""

    def candidates(self, now: datetime) -> tuple[Candidate, ...]:
        """The candidates by the last text that was accepted; none before the first."""

    def as_of(self) -> datetime | None:
        """When what was accepted last was true, if it says so itself."""


class SsmDocument:
    """The document that a Region's publisher keeps in SSM Parameter Store (default: this Region's).

    ``hosts`` restricts what is believed to these endpoints; without it any DSQL endpoint of its Region is.
    Raises ``ValueError`` without a Region.
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
        if not found:
            raise ValueError("no Region: set AWS_REGION, or pass region=")
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

    The certificate and the token are made out to the endpoint's own name, so the record is followed to it.
    ``nameservers`` (addresses) and ``port`` replace the system's. Raises ``ValueError`` with every reason at
    once.
    """

    def __init__(self, record: str, *, nameservers: Collection[str] = (), port: int = 53) -> None:
        problems = [] if _DNS_NAME.fullmatch(record) else [f"{record!r} is not a DNS name"]
        problems += [f"{each!r} is not an address" for each in nameservers if not _is_address(each)]
        if not 0 < port < 65536:
            problems.append(f"{port} is not a port")
        if problems:
            raise ValueError("; ".join(problems))
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
    """Endpoints that are simply given, ``host`` or ``host:port``, best first; never asked for again.

    Raises ``ValueError`` with every reason at once.
    """

    def __init__(self, endpoints: Collection[str]) -> None:
        problems: list[str] = []
        found: list[Endpoint] = []
        for text in endpoints:
            host, colon, port = text.partition(":")
            region = region_of_host(host) or ""
            problem = host_problem(host, region)
            if (
                problem is None
                and colon
                and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536)
            ):
                problem = f"{port!r} is not a port"
            if problem is None and any(host == other.host for other in found):
                problem = f"{host} is named twice"
            if problem is not None:
                problems.append(problem)
            else:
                found.append(Endpoint(region, host, int(port) if colon else 5432))
        if not endpoints:
            problems.append("name at least one endpoint")
        if problems:
            raise ValueError("; ".join(problems))
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
