"""The published document: its JSON form, its strict reading, and the rules by which readers accept one.

A reader takes a document whole or not at all; :class:`DocumentError` lists every reason. The rules:

- at most 4,096 bytes of UTF-8 JSON, no byte-order mark, no duplicate key, no NaN, exactly the known members;
- ``schema`` 1, and the service, target and observer that the reader expects;
- every host is a DSQL endpoint of its Region and, where the reader knows them, one of the configured ones;
- ``epoch`` is a whole number from 1 to 2**63 - 1, not lower than the last accepted one, and not from beyond
  now + 5 minutes (it is made from the clock, in milliseconds);
- instants are RFC 3339 in UTC, and ``valid_until`` is later than ``as_of``, by a day at most;
- ``forced_until`` is null where ``forced`` is;
- ``note`` and every ``reason`` are codes: letters and underscores.

Past ``valid_until`` a document still ranks, but every endpoint is a candidate again. Pure: no I/O, no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TypeVar

from beacon.model import MAX_LATENCY_MS, Document, Effective, EndpointState, Forced, Observed
from beacon.names import host_problem

__all__ = [
    "MAX_BYTES",
    "MAX_SKEW_S",
    "DocumentError",
    "Expected",
    "candidates",
    "format_instant",
    "parse",
    "serialize",
]

MAX_BYTES = 4096
MAX_SKEW_S = 300
_SCHEMA = 1
_E = TypeVar("_E", bound=Enum)
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z")
_CODE = re.compile(r"[a-z_]{1,40}")
_LONGEST_VALIDITY = timedelta(days=1)


class DocumentError(Exception):
    """A value that is no acceptable document; ``reasons`` holds a sentence for each fault."""

    def __init__(self, reasons: Iterable[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


@dataclass(frozen=True, slots=True)
class Expected:
    """What a reader knows beforehand. ``hosts`` empty: any DSQL endpoint will do."""

    service: str
    target: str
    observer: str
    hosts: Collection[str] = ()


def serialize(document: Document) -> str:
    """The compact JSON form; raises ``ValueError`` when it would not fit a parameter."""
    text = json.dumps(
        {
            "schema": document.schema,
            "service": document.service,
            "target": document.target,
            "observer": document.observer,
            "epoch": document.epoch,
            "as_of": format_instant(document.as_of),
            "valid_until": format_instant(document.valid_until),
            "frozen": document.frozen,
            "note": document.note,
            "counted_at": _format_or_none(document.counted_at),
            "endpoints": [_row(state) for state in document.endpoints],
        },
        separators=(",", ":"),
        allow_nan=False,
    )
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"the document takes {len(text.encode())} bytes, and a parameter holds {MAX_BYTES}")
    return text


def parse(text: str, expected: Expected, now: datetime, last: Document | None = None) -> Document:
    """Read ``text`` strictly by the module's rules; ``last`` is the last document that was accepted."""
    faults = _Faults()
    document = _document(_load(text), faults)
    if document is None or faults.reasons:
        raise DocumentError(faults.reasons)
    for name in ("service", "target", "observer"):
        # The value found may come from any writer, and reasons go to logs: none of it is repeated.
        same = getattr(document, name) == getattr(expected, name)
        faults.unless(same, f"{name} is not the expected one")
    for number, state in enumerate(document.endpoints, 1):
        known = not expected.hosts or state.host in expected.hosts
        faults.unless(known, f"endpoint {number} is none of the configured ones")
    ahead_s = document.epoch / 1000 - now.timestamp()
    faults.unless(ahead_s <= MAX_SKEW_S, f"epoch is {ahead_s:.0f} s ahead of the clock")
    faults.unless(
        last is None or document.epoch >= last.epoch, "epoch is lower than that of the last document"
    )
    if faults.reasons:
        raise DocumentError(faults.reasons)
    return document


def candidates(document: Document, now: datetime) -> tuple[EndpointState, ...]:
    """The endpoints to try, best first: those that are in or, past ``valid_until``, all of them."""
    if now > document.valid_until:
        return document.endpoints
    return tuple(state for state in document.endpoints if state.effective is Effective.IN)


def _row(state: EndpointState) -> dict[str, object]:
    return {
        "region": state.region,
        "host": state.host,
        "port": state.port,
        "observed": state.observed.value,
        "forced": state.forced.value if state.forced else None,
        "forced_until": _format_or_none(state.forced_until),
        "effective": state.effective.value,
        "reason": state.reason,
        "since": format_instant(state.since),
        "latency_ms": None if state.latency_ms is None else round(state.latency_ms, 1),
        "streak": state.streak,
        "observed_since": _format_or_none(state.observed_since),
    }


def format_instant(instant: datetime) -> str:
    """``instant`` as documents and events write it: RFC 3339 in UTC, to the millisecond."""
    # Unlike strftime, isoformat pads a year: what was read is written in a form that can be read.
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _format_or_none(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


class _Faults:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def unless(self, holds: bool, reason: str) -> bool:
        if not holds:
            self.reasons.append(reason)
        return holds


def _load(text: str) -> dict[str, object]:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise DocumentError(["a member is named twice"])
        return members

    def refuse(constant: str) -> object:
        raise DocumentError([f"{constant} is no JSON number"])

    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise DocumentError([f"{size} bytes, and at most {MAX_BYTES} are allowed"])
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise DocumentError(["not JSON"]) from None
    if not isinstance(value, dict):
        raise DocumentError(["not a JSON object"])
    return value


_MEMBERS = (
    "schema",
    "service",
    "target",
    "observer",
    "epoch",
    "as_of",
    "valid_until",
    "frozen",
    "note",
    "counted_at",
    "endpoints",
)
_ROW_MEMBERS = (
    "region",
    "host",
    "port",
    "observed",
    "forced",
    "forced_until",
    "effective",
    "reason",
    "since",
    "latency_ms",
    "streak",
    "observed_since",
)


def _document(value: dict[str, object], faults: _Faults) -> Document | None:
    if not faults.unless(
        value.get("schema") == _SCHEMA and type(value.get("schema")) is int, "unknown schema"
    ):
        return None
    if not _exact_members(value, _MEMBERS, "the document", faults):
        return None
    rows = value["endpoints"]
    if not (isinstance(rows, list) and rows):
        faults.reasons.append("no endpoints")
        return None
    states = [_state(row, f"endpoint {number}", faults) for number, row in enumerate(rows, 1)]
    epoch = _whole(value["epoch"], 1, 2**63 - 1, "epoch", faults)
    as_of = _instant(value["as_of"], "as_of", faults)
    valid_until = _instant(value["valid_until"], "valid_until", faults)
    counted_at = _instant_or_none(value["counted_at"], "counted_at", faults)
    for name in ("service", "target", "observer"):
        faults.unless(isinstance(value[name], str), f"{name} is no string")
    faults.unless(value["note"] == "" or _is_code(value["note"]), "note is no code")
    faults.unless(isinstance(value["frozen"], bool), "frozen is neither true nor false")
    if as_of and valid_until:
        sane = timedelta(0) < valid_until - as_of <= _LONGEST_VALIDITY
        faults.unless(sane, "valid_until is not within a day after as_of")
    present = [state for state in states if state is not None]
    hosts = [(state.host, state.port) for state in present]
    faults.unless(len(set(hosts)) == len(hosts), "an endpoint is named twice")
    if faults.reasons or epoch is None or as_of is None or valid_until is None:
        return None
    try:
        return Document(
            service=str(value["service"]),
            target=str(value["target"]),
            observer=str(value["observer"]),
            epoch=epoch,
            as_of=as_of,
            valid_until=valid_until,
            endpoints=tuple(present),
            frozen=value["frozen"] is True,
            note=str(value["note"]),
            counted_at=counted_at,
        )
    except ValueError as error:
        faults.reasons.append(str(error))
        return None


def _state(row: object, where: str, faults: _Faults) -> EndpointState | None:
    if not isinstance(row, dict) or not _exact_members(row, _ROW_MEMBERS, where, faults):
        faults.unless(isinstance(row, dict), f"{where} is no object")
        return None
    before = len(faults.reasons)
    region, host, reason = row["region"], row["host"], row["reason"]
    if faults.unless(
        isinstance(region, str) and isinstance(host, str), f"{where}: region or host is no string"
    ):
        problem = host_problem(str(host), str(region))
        faults.unless(problem is None, f"{where}: host is no DSQL endpoint of its Region")
    faults.unless(_is_code(reason), f"{where}: reason is no code")
    port = _whole(row["port"], 1, 65535, f"{where}: port", faults)
    streak = _whole(row["streak"], 0, 10**6, f"{where}: streak", faults)
    since = _instant(row["since"], f"{where}: since", faults)
    observed_since = _instant_or_none(row["observed_since"], f"{where}: observed_since", faults)
    observed = _member(Observed, row["observed"], f"{where}: observed", faults)
    effective = _member(Effective, row["effective"], f"{where}: effective", faults)
    forced = None if row["forced"] is None else _member(Forced, row["forced"], f"{where}: forced", faults)
    forced_until = _instant_or_none(row["forced_until"], f"{where}: forced_until", faults)
    ends_something = row["forced"] is not None or row["forced_until"] is None
    faults.unless(ends_something, f"{where}: forced_until without forced")
    latency = row["latency_ms"]
    sane = latency is None or (type(latency) in {int, float} and 0 <= latency <= MAX_LATENCY_MS)
    faults.unless(sane, f"{where}: latency_ms is no duration")
    if (
        len(faults.reasons) > before
        or not (observed and effective and since)
        or port is None
        or streak is None
    ):
        return None
    return EndpointState(
        region=str(region),
        host=str(host),
        port=port,
        observed=observed,
        forced=forced,
        effective=effective,
        reason=str(reason),
        since=since,
        latency_ms=None if latency is None else float(latency),
        streak=streak,
        observed_since=observed_since,
        forced_until=forced_until,
    )


def _exact_members(value: dict[str, object], wanted: tuple[str, ...], where: str, faults: _Faults) -> bool:
    missing = [name for name in wanted if name not in value]
    unknown = sorted(set(value) - set(wanted))
    faults.unless(not missing, f"{where} lacks {', '.join(missing)}")
    faults.unless(not unknown, f"{where} has {len(unknown)} unknown member(s)")
    return not missing and not unknown


def _is_code(value: object) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _whole(value: object, low: int, high: int, where: str, faults: _Faults) -> int | None:
    if type(value) is int and low <= value <= high:
        return value
    faults.reasons.append(f"{where} is no whole number from {low} to {high}")
    return None


def _instant(value: object, where: str, faults: _Faults) -> datetime | None:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    faults.reasons.append(f"{where} is no instant in UTC")
    return None


def _instant_or_none(value: object, where: str, faults: _Faults) -> datetime | None:
    return None if value is None else _instant(value, where, faults)


def _member(kind: type[_E], value: object, where: str, faults: _Faults) -> _E | None:
    try:
        return kind(value)
    except ValueError:
        faults.reasons.append(f"{where} is none of {', '.join(str(member.value) for member in kind)}")
        return None
