"""What a proxy counts, and the text that Prometheus reads. Pure.

Source: Prometheus documentation, "Exposition formats", text format 0.0.4.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

__all__ = ["METRICS", "Counts", "Sample", "exposition"]

#: Each metric with its type and its meaning; docs/proxy.md lists the same.
METRICS: Final = {
    "beacon_proxy_clients": ("gauge", "Clients at present, by state: opening, idle, busy."),
    "beacon_proxy_server_connections": ("gauge", "Connections to servers at present, by Region."),
    "beacon_proxy_accepted_total": ("counter", "Connections that clients have opened."),
    "beacon_proxy_rejected_total": ("counter", "Clients that got no server, by SQLSTATE."),
    "beacon_proxy_connects_total": ("counter", "Logins at servers, by Region."),
    "beacon_proxy_connect_failures_total": (
        "counter",
        "Attempts to log in that failed, by Region and reason.",
    ),
    "beacon_proxy_connect_seconds_total": ("counter", "Time that logins took together, in seconds."),
    "beacon_proxy_ended_total": ("counter", "Clients that have ended, by the reason for it."),
    "beacon_proxy_cancels_total": ("counter", "Cancel requests, by whether the key was known."),
    "beacon_proxy_exchanges_total": ("counter", "Exchanges that a server has ended with ReadyForQuery."),
    "beacon_proxy_bytes_total": ("counter", "Bytes passed on, by direction: in from clients, out to them."),
    "beacon_proxy_best_endpoint": ("gauge", "1 for the Region that new clients are sent to first."),
    "beacon_proxy_source_age_seconds": ("gauge", "Age of the last good answer of each source of endpoints."),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric with its labels."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Counts:
    """What has happened since the start."""

    accepted: int = 0
    connect_s: float = 0.0
    exchanges: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    connects: Counter[str] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    cancels: Counter[str] = field(default_factory=Counter)

    def samples(self) -> list[Sample]:
        """The counters as samples."""
        found = [
            Sample("beacon_proxy_accepted_total", self.accepted),
            Sample("beacon_proxy_connect_seconds_total", self.connect_s),
            Sample("beacon_proxy_exchanges_total", self.exchanges),
            Sample("beacon_proxy_bytes_total", self.bytes_in, {"direction": "in"}),
            Sample("beacon_proxy_bytes_total", self.bytes_out, {"direction": "out"}),
        ]
        for name, label, counter in (
            ("beacon_proxy_rejected_total", "sqlstate", self.rejected),
            ("beacon_proxy_connects_total", "region", self.connects),
            ("beacon_proxy_ended_total", "reason", self.ended),
            ("beacon_proxy_cancels_total", "key", self.cancels),
        ):
            found += [Sample(name, count, {label: value}) for value, count in sorted(counter.items())]
        for (region, reason), count in sorted(self.failures.items()):
            labels = {"region": region, "reason": reason}
            found.append(Sample("beacon_proxy_connect_failures_total", count, labels))
        return found


def exposition(samples: Iterable[Sample]) -> str:
    """The text for Prometheus: each metric of :data:`METRICS` that has samples."""
    by_name: dict[str, list[Sample]] = {name: [] for name in METRICS}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines = []
    for name, (kind, meaning) in METRICS.items():
        if by_name[name]:
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{_labels(sample.labels)} {_number(sample.value)}" for sample in by_name[name]]
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """All digits: a rounded counter would seem to stand still."""
    return str(value) if isinstance(value, int) else repr(float(value))
