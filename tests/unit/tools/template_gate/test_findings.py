"""The gate over the templates: what is found has to be accepted, and what is accepted has to be found."""

from pathlib import Path

import pytest
from tools.template_gate.findings import Accepted, Finding, judge, read_accepted

FOUND = Finding("CKV_1", "HealthFunction", "template.yaml", "no queue")
REASON = "nothing is ever queued here"


def test_a_finding_fails_unless_it_is_accepted() -> None:
    """By rule and resource, both."""
    assert judge([FOUND], [Accepted("CKV_1", ("HealthFunction",), REASON)]) == []
    assert judge([FOUND], []) == ["template.yaml: HealthFunction: CKV_1: no queue"]
    other = Accepted("CKV_2", ("HealthFunction",), REASON)
    assert str(FOUND) in judge([FOUND, Finding("CKV_2", "HealthFunction", "x", "y")], [other])


def test_an_accepted_rule_does_not_cover_another_resource() -> None:
    """A new function is examined again."""
    new = Finding("CKV_1", "NewFunction", "template.yaml", "no queue")
    assert judge([FOUND, new], [Accepted("CKV_1", ("HealthFunction",), REASON)]) == [str(new)]


def test_an_exception_that_nothing_needs_any_more_fails() -> None:
    """For each of its resources, so that the list never says more than is true."""
    accepted = [Accepted("CKV_1", ("HealthFunction", "Gone*"), REASON)]
    assert judge([FOUND], accepted) == ["exceptions.toml: CKV_1 on Gone* is not needed any more"]


@pytest.mark.parametrize(
    "entries",
    [
        '[[exception]]\nrule = "CKV_1"\nresources = ["A"]\nreason = ""\n',
        '[[exception]]\nrule = "CKV_1"\nresources = []\nreason = "nothing is ever queued here"\n',
        2 * '[[exception]]\nrule = "CKV_1"\nresources = ["A"]\nreason = "nothing is ever queued here"\n',
    ],
    ids=["no reason", "no resource", "twice"],
)
def test_a_list_without_reasons_is_refused(entries: str, tmp_path: Path) -> None:
    """An entry says what it covers and why, once."""
    path = tmp_path / "exceptions.toml"
    path.write_text(entries, encoding="utf-8")
    with pytest.raises(ValueError, match="CKV_1"):
        read_accepted(path)
