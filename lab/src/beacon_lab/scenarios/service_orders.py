"""The services that run through chaos, by what they know of endpoints.

| name | sources |
| --- | --- |
| ssm | the Region's document |
| dns | the failover record, then a list; with asyncio |
| stale | a document that no publisher has renewed for an hour |
| missing | a document that is not there, then a list |
| malformed | a document that is rubbish, then a list |
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from beacon_lab.dsql.cluster import OPERATOR_ROLE
from beacon_lab.lab import Lab
from beacon_lab.scenarios.service import ServiceOrders

__all__ = ["KNOWLEDGE", "prepare_documents", "service_orders"]

KNOWLEDGE = ("ssm", "dns", "stale", "missing", "malformed")
_OLD = timedelta(hours=1)


def service_orders(lab: Lab, knowledge: str, per_s: float, workers: int) -> ServiceOrders:
    """Orders for a service in the first Region that goes by ``knowledge``."""
    hosts = [front.host for front in lab.cluster.fronts.values()]
    here = lab.settings.regions[0]
    listed: dict[str, object] = {"kind": "list", "hosts": hosts}
    document: dict[str, object] = {
        "kind": "ssm",
        "app": lab.settings.app,
        "env": lab.settings.env,
        "region": here,
    }
    record: dict[str, object] = {
        "kind": "dns",
        "record": lab.settings.record_name,
        "nameserver": lab.data_plane.dns.address,
        "port": lab.data_plane.dns.by_region[here],
    }
    sources: dict[str, list[dict[str, object]]] = {
        "ssm": [document | {"target": "dsql"}],
        "dns": [record, listed],
        "stale": [document | {"target": "stale"}],
        "missing": [document | {"target": "missing"}, listed],
        "malformed": [document | {"target": "malformed"}, listed],
    }
    return ServiceOrders(
        style="asyncio" if knowledge == "dns" else "threads",
        sources=sources[knowledge],
        dial=lab.cluster.dials_from(here),
        user=OPERATOR_ROLE,
        ca_file=str(lab.cluster.authority.ca_file),
        per_s=per_s,
        workers=workers,
    )


async def prepare_documents(lab: Lab) -> None:
    """Put the stale and the malformed document into the first Region's Parameter Store."""
    await asyncio.to_thread(_prepare, lab)


def _prepare(lab: Lab) -> None:
    settings, retries = lab.settings, {"total_max_attempts": 5, "mode": "standard"}
    path = f"/{settings.app}/{settings.env}"
    with contextlib.closing(lab.cloud.client("ssm", settings.regions[0], retries=retries)) as client:
        good = client.get_parameter(Name=settings.document_parameter)["Parameter"]["Value"]
        for name, text in (("stale", _aged(json.loads(good))), ("malformed", '{"schema":1,"endpoints":[]}')):
            client.put_parameter(Name=f"{path}/{name}/document", Value=text, Type="String", Overwrite=True)


def _aged(document: Mapping[str, object]) -> str:
    older = {
        name: _earlier(str(document[name])) for name in ("as_of", "valid_until") if document[name] is not None
    }
    epoch = int(str(document["epoch"])) - int(_OLD.total_seconds() * 1000)
    return json.dumps({**document, **older, "epoch": epoch, "target": "stale"}, separators=(",", ":"))


def _earlier(instant: str) -> str:
    return (datetime.fromisoformat(instant) - _OLD).isoformat(timespec="milliseconds").replace("+00:00", "Z")
