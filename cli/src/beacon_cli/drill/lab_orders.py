"""Orders to a lab's control server: break with a limit, end that fault, and which faults are in force.

The server is on this machine and belongs to the lab; :mod:`beacon_cli.lab_ready` reads where it is.
"""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from beacon_cli.errors import FailedError
from beacon_cli.fleet import LabPlaces

__all__ = ["break_region", "end_fault", "faults_of"]

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_WITHIN_S = 5.0


def break_region(lab: LabPlaces, region: str, fault: str, limit_s: float) -> None:
    """Break ``region``; the lab itself ends the fault after ``limit_s``. Raises :class:`FailedError`."""
    _ask(lab, "/fault", {"region": region, "kind": fault, "for": f"{limit_s:g}"})


def end_fault(lab: LabPlaces, region: str, fault: str) -> None:
    """End that one fault, if it is in force. Raises :class:`FailedError`."""
    _ask(lab, "/heal", {"region": region, "kind": fault})


def faults_of(lab: LabPlaces) -> Mapping[str, Sequence[str]]:
    """Each Region's faults, as the lab words them. Raises :class:`FailedError`."""
    found = _ask(lab, "/status", None)
    return {str(name): [str(one) for one in row["faults"]] for name, row in found["regions"].items()}


def _ask(lab: LabPlaces, path: str, order: Mapping[str, str] | None) -> Any:  # noqa: ANN401 - JSON of any form
    request = urllib.request.Request(  # noqa: S310 - a lab's own address, which its reader has checked
        lab.control_url + path,
        data=None if order is None else json.dumps(order).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with _DIRECT.open(request, timeout=_WITHIN_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace")
        try:
            said = str(json.loads(text)["error"])
        except (ValueError, KeyError, TypeError):
            said = f"it answered {error.code}"
        raise FailedError(f"the lab does not take the order: {said}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FailedError("the lab does not answer", "beacon-lab status") from error
