"""Gathers the facts of a deployment: the situation and every reader at once, under one limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from beacon_cli.doctor.facts import Absent, Facts, RegionFacts, Token
from beacon_cli.doctor.readers import everywhere, regional, schema
from beacon_cli.readers.assemble import Look
from beacon_cli.readers.parallel import gather
from beacon_cli.readers.stacks import read_stack_view
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Situation, Unknown, known

__all__ = ["NOT_IN_LAB", "REGIONAL", "Gathered", "gather_facts"]

#: What no lab has, and why: its check is skipped with this reason, and not passed.
NOT_IN_LAB = {
    "template": "a lab deploys the working tree and keeps no template",
    "policy": "a lab's gateway enforces the policy and has no API for it",
    "functions": "a lab runs the functions and has no account limits",
    "schedule": "a lab ticks by itself",
    "errors": "a lab writes no metrics of Lambda",
    "wiring": "a lab makes no alarms",
    "ranges": "a lab's checkers have addresses of their own",
    "quota": "a lab has no account limits",
}
#: Route 53 takes five calls a second for a whole account, and the situation makes some as well.
_PAUSE_S = 0.25
#: A reader with a limit of its own ends before that, so that it can say why.
_SHARE = 0.85
_TOKEN = "PathToken"  # noqa: S105 - a parameter's name
#: The readers of one Region, by the name of their fact.
REGIONAL: dict[str, Callable[[Sessions, str], Any]] = {
    "template": regional.read_template,
    "policy": regional.read_policy,
    "cluster": regional.read_cluster,
    "functions": regional.read_functions,
    "schedule": regional.read_schedule,
    "errors": regional.read_publisher_errors,
    "wiring": regional.read_wiring,
    "store": regional.read_store,
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """The facts, and how long they took."""

    facts: Facts
    took_s: float


def gather_facts(sessions: Sessions, within_s: float, reports: Path, where: str = "") -> Gathered:
    """Everything that the checks look at; takes ``within_s`` at the most, once the clients are made.

    What cannot be read is unknown.
    """
    fleet = sessions.fleet
    look = Look(sessions, within_s, where=where)
    readers: dict[str, Callable[[], Any]] = {
        "Route 53": partial(_route53, sessions),
        "the schema": partial(schema.read_schema, sessions, within_s * _SHARE),
        "the logins": partial(schema.read_logins, sessions, within_s * _SHARE),
        "the drills": partial(everywhere.read_drills, reports, fleet.service),
    }
    for region in fleet.regions:
        for name, read in REGIONAL.items():
            if fleet.lab is None or name not in NOT_IN_LAB:
                readers[f"{name} of {region}"] = partial(read, sessions, region)
    began = time.monotonic()
    found: dict[str, Any] = {}
    others = threading.Thread(target=lambda: found.update(gather(readers, within_s)), daemon=True)
    others.start()
    situation = look()  # it has the same limit of its own
    others.join()
    return Gathered(_facts(sessions, situation, found), time.monotonic() - began)


def _facts(sessions: Sessions, situation: Situation, found: dict[str, Any]) -> Facts:
    fleet = sessions.fleet
    whole = found["Route 53"]
    if isinstance(whole, Unknown):
        whole = dict.fromkeys(("configs", "records", "ranges", "quota"), whole)
    tokens = _tokens(sessions)
    return Facts(
        situation=situation,
        regions=tuple(_region(sessions, region, found, tokens) for region in fleet.regions),
        configs=whole["configs"],
        records=whole["records"],
        checker_ranges=whole["ranges"],
        quota=whole["quota"],
        database=found["the schema"],
        logins=found["the logins"],
        drills=found["the drills"],
        is_lab=fleet.lab is not None,
    )


def _region(sessions: Sessions, region: str, found: dict[str, Any], tokens: dict[str, Token]) -> RegionFacts:
    def fact(name: str) -> Any:  # noqa: ANN401 - a fact of any type
        return found.get(f"{name} of {region}") or _absent(name)

    given = dict(sessions.fleet.site(region).parameters)
    given.pop(_TOKEN, None)
    return RegionFacts(
        region=region,
        file=given,
        file_token=tokens.get(region),
        template=fact("template"),
        policy=fact("policy"),
        cluster=fact("cluster"),
        functions=fact("functions"),
        schedule=fact("schedule"),
        publisher_errors=fact("errors"),
        wiring=fact("wiring"),
        store=fact("store"),
    )


def _absent(name: str) -> Absent:
    return Absent(f"not in the lab: {NOT_IN_LAB[name]}")


def _tokens(sessions: Sessions) -> dict[str, Token]:
    return {
        site.region: Token.of(site.parameters[_TOKEN])
        for site in sessions.fleet.sites
        if site.parameters.get(_TOKEN)
    }


def _route53(sessions: Sessions) -> dict[str, Any]:
    """Route 53's facts, one call after the other."""
    fleet = sessions.fleet
    found: dict[str, Any] = {"configs": everywhere.read_configs(sessions)}
    time.sleep(0 if fleet.lab else _PAUSE_S)
    found["records"] = everywhere.read_records(sessions, _zone(sessions))
    if fleet.lab is not None:
        return found | {name: _absent(name) for name in ("ranges", "quota")}
    time.sleep(_PAUSE_S)
    found["ranges"] = everywhere.read_ranges(sessions)
    time.sleep(_PAUSE_S)
    return found | {"quota": everywhere.read_quota(sessions)}


def _zone(sessions: Sessions) -> str:
    """The zone of the record: the file's, or that of the first stack that can be read."""
    if sessions.fleet.zone_id:
        return sessions.fleet.zone_id
    for region in sessions.fleet.regions:
        stack = known(read_stack_view(sessions, region))
        if stack is not None and stack.parameters.get("HostedZoneId"):
            return stack.parameters["HostedZoneId"]
    return ""
