"""What a client may connect to, and in which order it tries. Pure: no I/O, no clock.

Candidates come from one source or several. The first source that names an endpoint decides about it. Later
sources add only the endpoints that earlier ones do not name:

===============================  ====================================================================
what a source says               the candidates
===============================  ====================================================================
a document, still valid          its endpoints that are in, best first; those that are out follow as a
                                 last resort, drained ones before those that are down
a document past ``valid_until``  all of its endpoints, in ranked order
a DNS answer                     the one endpoint that the name leads to
a list                           its endpoints, in its order
===============================  ====================================================================

A client tries a last resort only when all other candidates have failed or were silent for long. So it always
has a candidate, and one slow packet does not send it to a drained Region.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from beacon.document.form import candidates as candidates_of
from beacon.model import Document, Endpoint, EndpointState, Observed

__all__ = ["Candidate", "from_document", "merged"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint that a client may try; ``latency_ms`` is the observer's, of a SELECT, if it said one.

    ``source`` counts from 0: which of the sources named it first.
    """

    endpoint: Endpoint
    last_resort: bool = False
    latency_ms: float | None = None
    source: int = 0


def from_document(document: Document, now: datetime) -> tuple[Candidate, ...]:
    """The candidates of a document at ``now`` (UTC)."""
    usable = candidates_of(document, now)
    rest = sorted(
        (state for state in document.endpoints if state not in usable),
        key=lambda state: state.observed is not Observed.UP,
    )
    return tuple(_candidate(state) for state in usable) + tuple(
        _candidate(state, last_resort=True) for state in rest
    )


def merged(lists: Iterable[Iterable[Candidate]]) -> tuple[Candidate, ...]:
    """The candidates of several sources as one list: usable ones first, each host once, first come first."""
    found: dict[str, Candidate] = {}
    for number, candidates in enumerate(lists):
        for candidate in candidates:
            found.setdefault(
                candidate.endpoint.host, replace(candidate, source=number) if number else candidate
            )
    # Stable: a host that the first source calls a last resort stays one, behind what others add.
    return tuple(sorted(found.values(), key=lambda candidate: candidate.last_resort))


def _candidate(state: EndpointState, *, last_resort: bool = False) -> Candidate:
    return Candidate(Endpoint(state.region, state.host, state.port), last_resort, state.latency_ms)
