"""What inverting a Region's health check would do, and what is against it. Pure.

=====================================  ==========================  ======================================
the Region's health check              invert                      restore
=====================================  ==========================  ======================================
cannot be read                         failed                      failed
is disabled                            refused: enable it first    is done, where it is inverted
is inverted                            refused: it is done         is done
finds the Region failing               refused: it would bring     refused: there is nothing to restore
                                       the Region in
too few checkers report                refused: it may be failing  refused: there is nothing to restore
finds it healthy, and no other Region  refused, unless it is       refused: there is nothing to restore
is seen up                             carried out all the same
finds it healthy                       is done                     refused: there is nothing to restore
=====================================  ==========================  ======================================

Source: Route 53 Developer Guide, "Values that you specify when you create or update health checks": an
inverted check counts as healthy where its checkers find the endpoint unhealthy, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from beacon_cli.errors import CommandError, FailedError, RefusedError
from beacon_cli.intents.consequences import OVERRIDE, Remaining, weigh
from beacon_cli.intents.rules import Action, Request
from beacon_cli.situation.model import CheckReport, ForcedStates, Known, Situation, known

__all__ = ["Glass", "Weighed", "weigh_glass"]


class Glass(Enum):
    """What an operator wants of the health check."""

    INVERT = "invert"
    RESTORE = "restore"

    @property
    def intent(self) -> Action:
        """The change of intent that moves DNS in the same way."""
        return Action.DRAIN if self is Glass.INVERT else Action.RELEASE


@dataclass(frozen=True, slots=True)
class Weighed:
    """The report that was judged, the other Regions, the sentences, and why it ends here, if it does."""

    report: CheckReport | None
    remaining: tuple[Remaining, ...]
    sentences: tuple[str, ...]
    against: CommandError | None


def weigh_glass(situation: Situation, region: str, glass: Glass, *, anyway: bool = False) -> Weighed:
    """Judge it by the module's table. Raises ``KeyError`` for a Region that is not there."""
    fact = situation.region(region).check
    report = known(fact)
    if report is None:
        why = "it has no health check" if isinstance(fact, Known) else fact.why
        return Weighed(None, (), (), FailedError(f"{why}. Nothing has changed", "beacon status"))
    share = f"{report.tally.passed} of {report.tally.fresh} checkers find it healthy"
    if glass is Glass.RESTORE:
        return _restore(region, report, share)
    whole = weigh(_with_intents(situation), Request(Action.DRAIN, region, "", ""))
    against = _against(region, report, share) or _alone(region, whole.refusal, anyway=anyway)
    said = (
        *(one for one in whole.sentences if "the drain keeps it out" not in one),
        f"SSM stays as it is: its readers go to {region} until it is observed down, or drained.",
        f"A deployment does not undo this: `beacon break-glass restore {region}` does.",
    )
    return Weighed(report, whole.remaining, said, against)


def _restore(region: str, report: CheckReport, share: str) -> Weighed:
    if not report.check.inverted:
        text = f"the health check of {region} is not inverted, so there is nothing to restore"
        return Weighed(report, (), (), RefusedError(f"{text}. Nothing has changed", "beacon status"))
    after = replace(report, check=replace(report.check, inverted=False))
    if after.healthy is None:
        said = f"Too few checkers have reported lately: whether {region} comes back is not known."
    elif after.healthy:
        said = f"{region} comes back into DNS: {share}."
    else:
        said = f"{region} fails ({share}): it counts as unhealthy afterwards, as it should."
    return Weighed(report, (), (said,), None)


def _with_intents(situation: Situation) -> Situation:
    """``situation`` as if no Region were drained, where the database cannot be read."""
    if isinstance(situation.forced, Known):
        return situation
    return replace(situation, forced=Known(ForcedStates(situation.at, "", ())))


def _against(region: str, report: CheckReport, share: str) -> CommandError | None:
    if report.check.inverted:
        text = f"the health check of {region} is inverted already. Nothing has changed"
        return RefusedError(text, f"beacon break-glass restore {region}")
    if report.check.disabled:
        text = f"the health check of {region} is disabled, so what its checkers find counts for nothing"
        command = f"aws route53 update-health-check --health-check-id {report.check.id} --no-disabled"
        return RefusedError(f"{text}. Nothing has changed", command)
    if not report.tally.known:
        text = (
            f"only {report.tally.fresh} of {report.tally.reported} checkers of {region} have reported lately:"
            " inverting a check that fails would bring the Region in"
        )
        return RefusedError(f"{text}. Nothing has changed", "beacon status")
    if not report.healthy:
        text = f"{region} fails ({share}), so it is out of DNS; inverting its check would bring it in"
        return RefusedError(f"{text}. Nothing has changed", f"beacon explain {region}")
    return None


def _alone(region: str, refusal: str, *, anyway: bool) -> CommandError | None:
    if anyway or not refusal:
        return None
    text = f"{refusal}. Nothing has changed; {OVERRIDE} takes {region} out all the same"
    return RefusedError(text, "beacon status")
