"""Starts every Region's publisher, so that no reader of SSM waits for its tick."""

from __future__ import annotations

import json
from functools import partial

from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.readers.parallel import gather
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, Known, Unknown

__all__ = ["name_of", "start_publishers"]

#: Lambda takes the event into its queue and answers at once; a Region that is silent costs no more than this.
_WITHIN_S = 3.0
_EVENT = json.dumps({"source": "beacon.operator"}).encode()


def name_of(region: str) -> str:
    """What to call the publisher in a sentence."""
    return f"the publisher of {region}"


def start_publishers(sessions: Sessions) -> dict[str, Fact[None]]:
    """Each Region, and whether Lambda has taken the event; a failure is a fact: the tick comes anyway."""
    regions = sessions.fleet.regions
    for region in regions:
        sessions.functions(region)  # making a client is this machine's work: no Region is late by it
    found = gather({name_of(region): partial(_start, sessions, region) for region in regions}, _WITHIN_S)
    return {region: found[name_of(region)] for region in regions}


def _start(sessions: Sessions, region: str) -> Fact[None]:
    function = f"{sessions.fleet.service}-publisher"
    try:
        sessions.functions(region).invoke(FunctionName=function, InvocationType="Event", Payload=_EVENT)
    except FAILURES as error:
        # "may not be read" is what a refusal of a reading call means; this one starts a function.
        why = sentence_of(error, name_of(region)).replace("may not be read", "may not be started")
        return Unknown(why)
    return Known(None)
