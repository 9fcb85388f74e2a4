"""`explain`: a situation in sentences, the ones that matter most first. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from beacon_cli.situation.finding import Finding, Level, joined
from beacon_cli.situation.model import Situation, known
from beacon_cli.situation.regions import about, alarm_finding
from beacon_cli.situation.routes import by_dns, by_ssm, headline

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a situation means: the headline, and the findings, the highest level first."""

    headline: Finding
    findings: tuple[Finding, ...]

    @property
    def needs_operator(self) -> bool:
        """Whether an operator should act."""
        return max(self.headline.level, *(one.level for one in self.findings), Level.DETAIL) >= Level.WARN


def explain(situation: Situation, region: str | None = None) -> Explanation:
    """Where clients go by DNS and by SSM, why, and what to do; of one Region alone if ``region`` is given.

    Raises ``KeyError`` for a Region that is not there.
    """
    wanted = [situation.region(region)] if region else list(situation.regions)
    found = [*by_dns(situation), *by_ssm(situation)]
    for one in wanted:
        found += about(situation, one.region)
    found += [
        alarm_finding(alarm, "", situation, Level.BAD)
        for alarm in known(situation.global_alarms) or ()
        if alarm.state == "ALARM"
    ]
    found += _versions(situation)
    found += [Finding(Level.UNKNOWN, f"Not known: {why}.") for why in situation.unknown()]
    # Sorting is stable: within a level the order stays that of the story.
    ranked = sorted(found, key=lambda finding: -finding.level)
    return Explanation(headline(situation), tuple(ranked))


def _versions(situation: Situation) -> list[Finding]:
    by_version: dict[str, list[str]] = {}
    for one in situation.regions:
        stack = known(one.stack)
        if stack is not None and stack.version:
            by_version.setdefault(stack.version, []).append(one.region)
    # The layer's version counts in each Region for itself: only a tag compares across Regions.
    tagged = {version: names for version, names in by_version.items() if not version.startswith("layer ")}
    if len(tagged) < 2:
        return []
    said = "; ".join(f"{joined(names)}: {version}" for version, names in tagged.items())
    return [Finding(Level.WARN, f"The Regions run different versions. {said}.")]
