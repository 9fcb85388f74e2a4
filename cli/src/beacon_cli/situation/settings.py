"""What follows from a deployment's parameters: where its record may lead, and how long changes take. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from beacon.predict import Timings
from beacon_cli.fleet import Fleet

__all__ = ["targets_of", "timings_of"]

#: How far apart the starts of rechecks are (:data:`beacon.settings.RECHECK_MS`); no parameter changes it.
_RECHECK_S = 0.75
_CHECKERS_A_REGION = 2
_NEEDED = ("RequestInterval", "FailureThreshold", "ProbeDeadlineMs", "Fall", "Rise", "FailbackHoldSeconds")


def targets_of(fleet: Fleet, parameters: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Each name that the record may lead to, and its Region: a Region's DSQL host, or its RecordTarget."""
    targets = {}
    for site in fleet.sites:
        own = parameters.get(site.region, {}).get("RecordTarget", "").rstrip(".")
        targets[own or site.host] = site.region
        targets[site.host] = site.region
    return targets


def timings_of(fleet: Fleet, parameters: Mapping[str, Mapping[str, str]]) -> Timings | None:
    """What predictions go by, from the first Region whose parameters are all there; ``None`` without one.

    A lab shortens intervals and schedules by its speed; its stacks' FailbackHoldSeconds is short already.
    """
    speed = fleet.lab.speed if fleet.lab else 1.0
    for region in fleet.regions:
        given = parameters.get(region, {})
        if not all(given.get(name, "").isdigit() for name in (*_NEEDED, "PublishEverySeconds")):
            continue
        regions = [name for name in given.get("CheckerRegions", "").split(",") if name]
        return Timings(
            interval_s=int(given["RequestInterval"]) / speed,
            threshold=int(given["FailureThreshold"]),
            publish_every_s=int(given["PublishEverySeconds"]) / speed,
            recheck_s=_RECHECK_S,
            deadline_s=int(given["ProbeDeadlineMs"]) / 1000,
            fall=int(given["Fall"]),
            rise=int(given["Rise"]),
            failback_hold_s=float(given["FailbackHoldSeconds"]),
            checkers=_CHECKERS_A_REGION * len(regions) or 16,
        )
    return None
