"""How long a drain lasts, as an operator writes it."""

import pytest

from beacon_cli.errors import WrongUseError
from beacon_cli.intents.duration import UNTIL_RELEASED, lasting_s, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("90s", 90),
        ("30m", 1800),
        (" 30M ", 1800),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1d2h3m4s", 93784),
        ("30d", 2592000),
        (UNTIL_RELEASED, None),
    ],
)
def test_a_duration_is_read_in_its_units(text: str, seconds: float | None) -> None:
    """Without a space, the longest unit first."""
    assert lasting_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "m", "30", "1.5h", "-5m", "30 m", "30min", "5m1h", "forever", "٣m"]
)
def test_what_is_no_duration_is_rejected_with_the_ways_to_write_one(text: str) -> None:
    """One sentence."""
    with pytest.raises(
        WrongUseError, match=r"--for .* is no duration: write 90s, 30m, 1h30m or 2d, or until-released"
    ):
        lasting_s(text)


def test_a_number_without_a_unit_gets_the_likely_one() -> None:
    """psql's script takes minutes."""
    with pytest.raises(WrongUseError, match="Did you mean 30m"):
        lasting_s("30")


@pytest.mark.parametrize("text", ["0s", "9s", "31d", "30d1s", "999999999999d"])
def test_a_duration_has_bounds(text: str) -> None:
    """Too short is over before a reader follows, and too long is one without an end."""
    with pytest.raises(WrongUseError, match="write 10s to 30d, or until-released"):
        lasting_s(text)


def test_another_option_is_named_and_has_no_end_by_release() -> None:
    """How far back a timeline goes."""
    assert seconds_of("12h", "--since") == 43200
    with pytest.raises(WrongUseError, match=r"--since 'until-released' is no duration.* or 2d\.$"):
        seconds_of(UNTIL_RELEASED, "--since")
