"""Which Region an alarm belongs to, by its exact name: the templates name every alarm. Pure.

========================  =======================  ====================================================
name after the service    template                 belongs to
========================  =======================  ====================================================
a known ending            template.yaml            the Region whose CloudWatch has it
a Region and an ending    global.yaml              the Region in the name, in whichever Region it was read
``no-region-serves``      global.yaml              the whole deployment
anything else             none                     another deployment, such as ``beacon-prod-eu``: left out
========================  =======================  ====================================================
"""

from __future__ import annotations

from collections.abc import Iterable

from beacon_cli.situation.model import Alarm

__all__ = ["LOCAL", "OF_A_REGION", "WHOLE", "of_deployment", "of_region", "read_in"]

#: Alarms of template.yaml.
LOCAL = (
    "document-too-old",
    "publisher-fails",
    "health-fails",
    "health-throttled",
    "probes-fail",
    "intent-unreadable",
    "logins-in-trouble",
    "drained-too-long",
)
#: Alarms of global.yaml for each Region, and the one for the deployment.
OF_A_REGION = ("unhealthy", "checkers-disagree")
WHOLE = "no-region-serves"


def read_in(service: str, alarms: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """Those of ``alarms`` that belong to the Region whose CloudWatch has them."""
    return _named(alarms, {f"{service}-{end}" for end in LOCAL})


def of_region(service: str, region: str, alarms: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """Those of ``alarms`` that name ``region``."""
    return _named(alarms, {f"{service}-{region}-{end}" for end in OF_A_REGION})


def of_deployment(service: str, alarms: Iterable[Alarm]) -> tuple[Alarm, ...]:
    """Those of ``alarms`` that belong to the deployment as a whole."""
    return _named(alarms, {f"{service}-{WHOLE}"})


def _named(alarms: Iterable[Alarm], names: set[str]) -> tuple[Alarm, ...]:
    return tuple(alarm for alarm in alarms if alarm.name in names)
