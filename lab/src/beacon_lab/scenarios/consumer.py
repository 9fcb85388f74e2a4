"""A consumer that knows nothing but a name: it resolves, connects, writes a row, and does so again.

It runs as a process of its own (``python -m beacon_lab.scenarios.consumer``), so that the lab's own work
does not disturb it. It reads its orders as one JSON object on standard input, and stops at the end of its
input. It writes one JSON line per attempt: what it resolved, whether the row was acknowledged, and the
row's id. A row counts as acknowledged only when the COMMIT of its INSERT was answered.
"""

from __future__ import annotations

import json
import select
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

from beacon.aws.credentials import find_credentials
from beacon.dsql.libpq import VERSION
from beacon.dsql.login import signed_options
from beacon.dsql.session import Session, SessionError
from beacon.model import Endpoint

__all__ = ["ConsumerOrders", "main", "write_row"]

#: One attempt: look-up, connect, INSERT.
ATTEMPT_S = 2.0
_INSERT = b"INSERT INTO lab.entry (id, at, host) VALUES ($1, $2, $3)"


class NoAddressError(Exception):
    """The name leads to no address."""


@dataclass(frozen=True, slots=True)
class ConsumerOrders:
    """What the consumer is to do; ``regions`` maps a DSQL host to its Region for the token."""

    name: str
    dns_host: str
    dns_port: int
    user: str
    ca_file: str
    ports: Mapping[str, int]
    regions: Mapping[str, str]
    every_s: float

    @classmethod
    def parse(cls, line: str) -> ConsumerOrders:
        """Read the JSON object that the lab writes."""
        return cls(**json.loads(line))


@dataclass(frozen=True, slots=True)
class Resolved:
    """What the name led to: the canonical host and an address of it."""

    host: str
    address: str


def look_up(orders: ConsumerOrders, timeout_s: float) -> Resolved:
    """Resolve the name to its canonical host, the name in a DSQL certificate and token."""
    resolved = _ask(orders, orders.name, timeout_s).resolve_chaining()
    host = resolved.canonical_name.to_text(omit_final_dot=True)
    if resolved.answer is None:
        # The chain leaves the zone: another resolver knows its last name.
        resolved = _ask(orders, host, timeout_s).resolve_chaining()
    if resolved.answer is None:
        raise NoAddressError(host)
    return Resolved(host, next(iter(resolved.answer)).to_text())


def _ask(orders: ConsumerOrders, name: str, timeout_s: float) -> dns.message.QueryMessage:
    query = dns.message.make_query(name, dns.rdatatype.A)
    answer = dns.query.udp(query, orders.dns_host, timeout=timeout_s, port=orders.dns_port)
    if not isinstance(answer, dns.message.QueryMessage):
        raise NoAddressError(name)
    return answer


def write_row(orders: ConsumerOrders) -> dict[str, object]:
    """Write one row; say where to, and whether it was acknowledged or what stood in the way."""
    started = time.monotonic()
    deadline = started + ATTEMPT_S
    row = str(uuid.uuid4())
    host, problem = "", ""
    session: Session | None = None
    try:
        found = look_up(orders, ATTEMPT_S / 2)
        host = found.host
        options = signed_options(
            Endpoint(orders.regions[host], host, orders.ports[host]),
            found.address,
            user=orders.user,
            database="postgres",
            ca_file=orders.ca_file,
            credentials=find_credentials(),
            now=datetime.now(UTC),
            libpq_version=VERSION,
        )
        session = Session.open(options, deadline, time.monotonic)
        session.query(_INSERT, [row, datetime.now(UTC).isoformat(), host], deadline)
    except SessionError as error:
        problem = str(error)
    except (NoAddressError, dns.exception.DNSException, OSError, KeyError) as error:
        problem = type(error).__name__
    finally:
        if session is not None:
            session.close()
    taken_ms = (time.monotonic() - started) * 1000
    return {
        "id": row,
        "host": host,
        "acknowledged": not problem,
        "problem": problem,
        "ms": round(taken_ms, 1),
    }


def main(orders_in: TextIO = sys.stdin, out: TextIO = sys.stdout) -> None:
    """Run until the standard input ends."""
    orders = ConsumerOrders.parse(orders_in.readline())
    while True:
        started = time.monotonic()
        print(json.dumps(write_row(orders)), file=out, flush=True)
        pause_s = max(0.0, started + orders.every_s - time.monotonic())
        if select.select([orders_in], [], [], pause_s)[0] and not orders_in.readline():
            return


if __name__ == "__main__":
    main()
