"""Alarms belong to the Region or the deployment that their names say; and stacks are read again."""

from typing import Any

import pytest
from tests.places import ROOT
from tests.unit.cli.situations import FAR, HOSTS, NEAR, NOW, ago, situation

from beacon_cli.fleet import Fleet, Site
from beacon_cli.readers import cloudwatch, stacks
from beacon_cli.readers.assemble import Look
from beacon_cli.sessions import Sessions
from beacon_cli.situation.advice import ALARM_ADVICE
from beacon_cli.situation.alarms import LOCAL, OF_A_REGION, WHOLE
from beacon_cli.situation.finding import Level
from beacon_cli.situation.model import Alarm, Known, StackView, Unknown, known
from beacon_cli.situation.sentences import explain

ELSEWHERE = "CloudWatch of the global stack"


def on(*names: str) -> Known[tuple[Alarm, ...]]:
    return Known(tuple(Alarm(f"shop-test-{name}", "ALARM", ago(60)) for name in names))


def look(global_region: str = "") -> Look:
    sites = tuple(Site(region, "shop-test", HOSTS[region]) for region in (NEAR, FAR))
    place = (global_region, "shop-test-global") if global_region else None
    return Look(Sessions(Fleet("shop", "test", sites, "a test", global_stack=place)), 1)


def names(fact: Any) -> list[str]:  # noqa: ANN401 - a fact
    return [alarm.name.removeprefix("shop-test-") for alarm in known(fact) or ()]


@pytest.mark.parametrize(("place", "source"), [(NEAR, cloudwatch.name_of(NEAR)), ("eu-west-1", ELSEWHERE)])
def test_each_alarm_goes_to_its_own_region(place: str, source: str) -> None:
    """Wherever the global stack is; the alarms of shop-test-eu are another deployment's."""
    wide = (f"{NEAR}-unhealthy", f"{FAR}-checkers-disagree", "no-region-serves", "eu-probes-fail")
    found = {
        cloudwatch.name_of(NEAR): on("probes-fail", "eu-west-1-unhealthy"),
        cloudwatch.name_of(FAR): on(),
    }
    found[source] = Known((*(known(found.get(source)) or ()), *on(*wide).value))
    given = look(place)
    assert names(given._alarms(NEAR, found)) == ["probes-fail", f"{NEAR}-unhealthy"]
    assert names(given._alarms(FAR, found)) == [f"{FAR}-checkers-disagree"]
    assert names(given._global_alarms(found)) == ["no-region-serves"]


def test_global_alarms_that_cannot_be_read_are_unknown() -> None:
    """And do not apply without a global stack."""
    found: dict[str, Any] = {cloudwatch.name_of(NEAR): Unknown("silent"), cloudwatch.name_of(FAR): on()}
    assert look(NEAR)._global_alarms(found) == Unknown("silent")
    assert look()._global_alarms(found) is None


def test_no_region_serves_is_bad_for_the_deployment() -> None:
    """Of no Region, so that `beacon explain REGION` shows it too."""
    told = explain(situation(global_alarms=on("no-region-serves")), FAR).findings[0]
    assert (told.level, told.region) == (Level.BAD, "")
    assert "every Region is unhealthy" in told.text


def test_every_alarm_of_the_templates_is_known() -> None:
    """By its exact name, and with advice."""
    made = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("template.yaml", "global.yaml"))
    ends = [line.split("${Env}-")[1] for line in made.splitlines() if "AlarmName: !Sub" in line]
    assert {end.rpartition("}-")[2] for end in ends} == {*LOCAL, *OF_A_REGION, WHOLE} == set(ALARM_ADVICE)


def test_a_watch_reads_stacks_again() -> None:
    """An operator may have deployed since the first look."""
    given = look()
    given._stacks = dict.fromkeys((NEAR, FAR), Known(StackView("shop-test", "UPDATE_COMPLETE", NOW, "")))
    asked = []
    for given._looks in range(25):
        asked.append(stacks.name_of(NEAR) in given._readers())
    assert [number for number, again in enumerate(asked) if again] == [0, 12, 24]
