"""JUnit XML: a case for each thing that has to hold."""

from tests.unit.cli.drill.drills import REPORTS, tree
from tests.unit.cli.situations import FAR

from beacon_cli.drill.junit import junit_of


def test_junit_has_a_case_for_each_thing_that_has_to_hold() -> None:
    """What failed says why; what was left out says so."""
    suite = tree(junit_of(REPORTS["failed"]))[0]
    cases = {case.get("name"): case for case in suite}
    assert len(cases) == int(suite.get("tests", "0")) == 12
    failed = [name for name, case in cases.items() if case.find("failure") is not None]
    assert failed == [f"SSM of {FAR}: out", f"SSM of {FAR}: back", "nothing else changes"]
    assert int(suite.get("failures", "0")) == len(failed)
    suite = tree(junit_of(REPORTS["no consumer"]))[0]
    assert [case.get("name") for case in suite if case.find("skipped") is not None] == [
        "the consumer loses no row"
    ]
    assert suite.get("failures") == "0"
