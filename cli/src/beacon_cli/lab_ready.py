"""A lab as a deployment: its ready file, or the note of the lab that is up, and whether it still runs."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from beacon_cli.errors import FailedError, WrongUseError
from beacon_cli.fleet import Fleet, LabPlaces, Site
from beacon_cli.options import RUNNING_LAB

__all__ = ["fleet_of_lab"]

_UP = "beacon-lab up --ready-file lab.json"
_ANSWER_S = 2.0
#: All on this machine: a proxy of the environment must not be asked.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def fleet_of_lab(where: str) -> Fleet:
    """The deployment of the lab whose ready file is ``where``, or of the lab that is up.

    Raises :class:`WrongUseError` for a file that is none, :class:`FailedError` for a lab that has ended.
    """
    if where == RUNNING_LAB:
        source, ready = "the lab", _ready_of_running()
    else:
        source, ready = where, _read(Path(where))
    try:
        fleet = _fleet(source, ready)
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise WrongUseError(
            f"{source} is no ready file of a lab: {error!r} is not as expected", _UP
        ) from error
    if where != RUNNING_LAB:
        _require_alive(fleet, where)
    return fleet


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON of any form, looked at by the caller
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WrongUseError(
            f"there is no ready file {path}: no lab has written it, or it has ended", _UP
        ) from None
    except (OSError, ValueError) as error:
        raise WrongUseError(f"the ready file {path} cannot be read: {error}", _UP) from error


def _ready_of_running() -> Any:  # noqa: ANN401 - as above
    """What the lab of this user says of itself; its note stands where `beacon-lab` leaves it."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    note = Path(base) / f"beacon-lab-{os.getuid()}" / "lab.json"
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        return _get(str(found["control_url"]), "/ready", key=str(found["key"]))
    except FileNotFoundError:
        raise FailedError(
            f"no lab is up: there is no note of one in {note.parent}", "beacon-lab up"
        ) from None
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise FailedError(
            f"no lab answers where {note} says that one is: {_short(error)}", "beacon-lab up"
        ) from error


def _require_alive(fleet: Fleet, where: str) -> None:
    assert fleet.lab is not None  # noqa: S101 - this module made it
    try:
        _get(fleet.lab.control_url, "/status")
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise FailedError(
            f"the lab of {where} has ended, or does not answer ({_short(error)})",
            f"beacon-lab up --ready-file {where}",
        ) from error


def _get(url: str, path: str, key: str = "") -> Any:  # noqa: ANN401 - as above
    """An answer of the lab's control server; ``key`` is the one of the lab's note, which `/ready` wants."""
    if not url.startswith("http://127.0.0.1:"):
        raise ValueError(f"{url} is not on this machine")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url + path, headers=headers)  # noqa: S310 - on this machine, see above
    with _DIRECT.open(request, timeout=_ANSWER_S) as answer:
        return json.loads(answer.read())


def _short(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason.strerror) if isinstance(reason, OSError) and reason.strerror else str(reason)


def _fleet(source: str, ready: Any) -> Fleet:  # noqa: ANN401 - as above
    _, app, env, *_ = str(ready["ssm"]["document"]).split("/")
    regions = {str(name): row for name, row in ready["regions"].items()}
    sites = tuple(Site(name, f"{app}-{env}", str(row["dsql"]["host"])) for name, row in regions.items())
    keys, dns = ready["credentials"], ready["dns"]
    lab = LabPlaces(
        aws_url=str(ready["aws_endpoint_url"]),
        control_url=str(ready["control_url"]),
        access_key_id=str(keys["access_key_id"]),
        secret_access_key=str(keys["secret_access_key"]),
        ca_file=str(ready["ca_file"]),
        dns=(str(dns["host"]), int(dns["port"])),
        dial={
            str(row["dsql"]["host"]): (str(row["dsql"]["address"]), int(row["dsql"]["port"]))
            for row in regions.values()
        },
        health_urls={name: str(row["health_url"]) for name, row in regions.items() if "health_url" in row},
        speed=float(ready.get("speed", 1.0)),
    )
    role = str(next(iter(regions.values()))["dsql"]["user"])
    record = str(ready["record_name"])
    return Fleet(app, env, sites, source, record_name=record, lab=lab, operator_role=role)
