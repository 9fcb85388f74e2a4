"""What strikes a share, and what a front's limit on connections lets in."""

from __future__ import annotations

import pytest

from beacon_lab.dsql.chance import Chance
from beacon_lab.dsql.connect_limit import RATE_EXCEEDED, TOO_MANY, ConnectLimit
from beacon_lab.dsql.rules import Refusal
from beacon_lab.faults import WHOLE, Extent, FaultKind

OUTCOME = Refusal("XX000", "no")


def throws(share_pct: int, seed: int | None, times: int = 2000) -> list[bool]:
    chance = Chance(OUTCOME, share_pct=share_pct, seed=seed)
    return [chance.strike() is OUTCOME for _ in range(times)]


@pytest.mark.parametrize("share_pct", [1, 10, 30, 80])
def test_a_share_is_struck_and_the_rest_is_spared(share_pct: int) -> None:
    """Within four standard deviations of the share, for any of a few seeds."""
    for seed in range(5):
        found = sum(throws(share_pct, seed))
        spread = (2000 * share_pct / 100 * (1 - share_pct / 100)) ** 0.5
        assert abs(found - 20 * share_pct) < 4 * spread


def test_the_same_seed_strikes_the_same() -> None:
    """A run can be repeated; another seed, or none, is another run."""
    assert throws(30, 7) == throws(30, 7)
    assert throws(30, 7) != throws(30, 8)
    assert throws(30, None) != throws(30, None)


def test_a_share_of_100_strikes_all() -> None:
    """A whole fault leaves nothing to chance."""
    assert all(throws(100, None))


def test_the_default_limit_is_dsqls() -> None:
    """A burst of 1,000 and 100 more for each second; 10,000 at a time."""
    now_s = 0.0
    limit = ConnectLimit(clock=lambda: now_s)
    assert [limit.enter() for _ in range(1001)] == [None] * 1000 + [RATE_EXCEEDED]
    now_s = 1.0
    assert [limit.enter() for _ in range(101)] == [None] * 100 + [RATE_EXCEEDED]
    for second in range(2, 91):
        now_s = float(second)
        assert [limit.enter() for _ in range(100)] == [None] * 100
    assert limit.open == 10_000
    now_s = 1000.0
    assert limit.enter() is TOO_MANY
    limit.leave()
    assert limit.enter() is None


def test_a_login_over_the_limit_of_open_connections_takes_no_token() -> None:
    """The bucket is as full as before once there is room again."""
    limit = ConnectLimit(rate_per_s=0.0, burst=2, connections=1, clock=lambda: 0.0)
    assert limit.enter() is None
    assert [limit.enter() for _ in range(5)] == [TOO_MANY] * 5
    limit.leave()
    assert (limit.enter(), limit.refused) == (None, 5)


def test_the_usual_extent_fits_every_kind_and_shows_the_kind_alone() -> None:
    """Scripts that read a status see the names that they gave."""
    for kind in FaultKind:
        assert WHOLE.of(kind).words(kind) == kind.value


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind.ways])
def test_each_way_can_be_chosen(kind: FaultKind) -> None:
    """The first is the usual one and is not shown."""
    usual, *others = kind.ways
    assert Extent().of(kind).way == usual
    for way in others:
        assert Extent(way=way).of(kind).words(kind) == f"{kind.value} {way}"


@pytest.mark.parametrize("share_pct", [0, -1, 101])
def test_a_share_is_one_to_a_hundred_per_cent(share_pct: int) -> None:
    """As AWS FIS takes it."""
    with pytest.raises(ValueError, match="a share is 1-100 %"):
        Extent(share_pct).of(FaultKind.DSQL_LOGIN)
