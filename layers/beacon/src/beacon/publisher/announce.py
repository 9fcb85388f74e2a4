"""Announce changes on EventBridge: an event ``Endpoint Health Changed`` of source ``beacon`` for each.

Best effort: an event that cannot be sent is a problem in the round's report and nothing else; what is
published is in the document. A change that is decided twice, by a round that was cut off and by the one after
it, may be announced twice, or not at all: consumers go by ``detail.epoch``, which rises.

An event's detail: ``service``, ``target``, ``observer``, ``epoch`` of the document, ``frozen``, ``preferred``
(a Region), and of the endpoint that changed ``region``, ``host``, ``reason`` (a sentence) and its states
``before`` (``null`` when it is first seen) and ``after``: ``observed``, ``forced``, ``forced_until`` (an
instant, or ``null``), ``effective``, ``reason`` (a code).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import boto3

from beacon.aws.calls import CONFIG, FAILURES, code_of
from beacon.document.form import format_instant
from beacon.model import Change, Document, EndpointState

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

__all__ = ["DETAIL_TYPE", "SOURCE", "Announcer", "detail_of"]

SOURCE = "beacon"
DETAIL_TYPE = "Endpoint Health Changed"
#: What PutEvents takes at a time, and no less than the endpoints that a document may hold.
_MOST = 10


class Announcer:
    """Puts events on the default bus of one Region."""

    def __init__(self, region: str, make_client: Callable[[str], EventBridgeClient] | None = None) -> None:
        self._region = region
        self._make_client = make_client or _client
        self._client: EventBridgeClient | None = None

    def __call__(self, document: Document, changes: Sequence[Change]) -> Sequence[str]:
        """Announce ``changes``; return a sentence for each problem. Never raises for a failure of AWS."""
        problems: list[str] = []
        for start in range(0, len(changes), _MOST):
            problems += self._put(document, changes[start : start + _MOST])
        return problems

    def _put(self, document: Document, changes: Sequence[Change]) -> list[str]:
        try:
            # Made late and kept: a client takes a tenth of a second, and most rounds change nothing.
            self._client = self._client or self._make_client(self._region)
            answer = self._client.put_events(
                Entries=[
                    {
                        "Source": SOURCE,
                        "DetailType": DETAIL_TYPE,
                        "Detail": json.dumps(detail_of(document, change), separators=(",", ":")),
                    }
                    for change in changes
                ]
            )
        except FAILURES as error:
            return [f"announcing {len(changes)} change(s) failed: {code_of(error)}"]
        refused = [entry["ErrorCode"] for entry in answer["Entries"] if "ErrorCode" in entry]
        return [f"an announcement was refused: {code}" for code in refused]


def detail_of(document: Document, change: Change) -> dict[str, object]:
    """The detail of the event for one change that ``document`` made."""
    return {
        "service": document.service,
        "target": document.target,
        "observer": document.observer,
        "epoch": document.epoch,
        "frozen": document.frozen,
        "preferred": document.preferred.region,
        "region": change.region,
        "host": change.after.host,
        "reason": change.reason,
        "before": None if change.before is None else _states(change.before),
        "after": _states(change.after),
    }


def _states(state: EndpointState) -> dict[str, object]:
    return {
        "observed": state.observed.value,
        "forced": state.forced.value if state.forced else None,
        "forced_until": None if state.forced_until is None else format_instant(state.forced_until),
        "effective": state.effective.value,
        "reason": state.reason,
    }


def _client(region: str) -> EventBridgeClient:
    return boto3.client("events", region_name=region, config=CONFIG)
