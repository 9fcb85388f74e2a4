"""The operators' intents: the strict reading of what the statements return."""

import pytest

from beacon.dsql.intent import ALL_REGIONS, ONE_REGION, MalformedIntentError, parse_intents
from beacon.model import Forced, Intent

ALIVE = (None, None, None, None, None)


def test_one_row_of_nulls_means_that_no_operator_forces_anything() -> None:
    """Read and nothing forced is an empty mapping."""
    assert parse_intents([ALIVE]) == {}


def test_no_row_is_no_answer() -> None:
    """The statement always returns a row, so none at all cannot mean "no drain"."""
    with pytest.raises(MalformedIntentError):
        parse_intents([])


def test_a_drain_is_read_whole() -> None:
    """Reason, actor and what is left of it come along; what is missing is empty."""
    rows = [
        ("us-east-1", "drain", "game day", "ann", "59.5"),
        ("us-east-2", "drain", None, None, None),
        ("us-west-2", "drain", "x", "y", "Infinity"),
    ]
    assert parse_intents(rows) == {
        "us-east-1": Intent("us-east-1", Forced.DRAIN, "game day", "ann", 59.5),
        "us-east-2": Intent("us-east-2", Forced.DRAIN),
        "us-west-2": Intent("us-west-2", Forced.DRAIN, "x", "y", None),
    }


@pytest.mark.parametrize(
    "row",
    [
        ("us-east-1", "drain", "", ""),
        ("us-east-1", "drain", "", "", "1", "more"),
        (None, "drain", "", "", "1"),
        ("us-east-1", None, "", "", "1"),
        ("us-east-1", "weight", "", "", "1"),
        ("us-east-1", "", "", "", "1"),
        ("us-east-1", "drain", "", "", "soon"),
        ("us-east-1", "drain", "", "", ""),
        ("us-east-1", "drain", "", "", "NaN"),
        ("us-east-1", "drain", "", "", "0"),
        ("us-east-1", "drain", "", "", "-1"),
        ("us-east-1", "drain", "", "", "-Infinity"),
    ],
)
def test_one_row_that_makes_no_sense_refuses_the_whole_answer(row: tuple[str | None, ...]) -> None:
    """Half of an answer could mean half of a drain; the error names nothing that came from outside."""
    good = ("us-east-2", "drain", "", "", None)
    for rows in ([row], [good, row], [row, good]):
        with pytest.raises(MalformedIntentError) as caught:
            parse_intents(rows)
        assert "weight" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_region_named_twice_is_refused() -> None:
    """The primary key forbids it, so it is no answer of ours."""
    row = ("us-east-1", "drain", "", "", None)
    with pytest.raises(MalformedIntentError):
        parse_intents([row, row])


def test_the_point_read_takes_one_parameter_more() -> None:
    """Both statements are the same but for the Region."""
    assert b"$3" not in ALL_REGIONS
    assert ONE_REGION.replace(b" AND i.region = $3", b"") == ALL_REGIONS
