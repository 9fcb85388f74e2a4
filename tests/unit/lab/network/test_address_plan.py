"""Loopback addresses stand for public ones, always the same, each kind inside its own range."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from beacon_lab.network.address_plan import CHECKER_RANGES, OPERATOR_ADDRESS, checker_source, public_address


@pytest.mark.parametrize("place", CHECKER_RANGES)
def test_every_checker_comes_from_a_published_range_of_its_place(place: str) -> None:
    """The first hundred checkers of each place have different sources, all inside its ranges."""
    sources = [checker_source(place, index) for index in range(100)]
    assert len(set(sources)) == 100
    public = [IPv4Address(public_address(source)) for source in sources]
    assert len(set(public)) == 100
    for address in public:
        assert any(address in network for network in CHECKER_RANGES[place])


def test_checkers_of_one_place_use_all_its_ranges() -> None:
    """Neighbouring checkers come from different ranges, so that no range may be forgotten in a policy."""
    found = {
        next(
            network
            for network in CHECKER_RANGES["eu-west-1"]
            if IPv4Address(public_address(source)) in network
        )
        for source in (checker_source("eu-west-1", 0), checker_source("eu-west-1", 1))
    }
    assert found == set(CHECKER_RANGES["eu-west-1"])


def test_every_address_of_the_checker_block_is_a_checker() -> None:
    """Also sources that no checker of the lab uses stand for an address in some published range."""
    published = [network for networks in CHECKER_RANGES.values() for network in networks]
    for source in ("127.53.0.0", "127.53.255.255", "127.53.17.200"):
        assert any(IPv4Address(public_address(source)) in network for network in published)


def test_the_operator_has_one_address() -> None:
    """Clients that bind to nothing are the operator."""
    assert public_address("127.0.0.1") == OPERATOR_ADDRESS == "198.51.100.10"


@pytest.mark.parametrize("source", ["127.66.0.1", "127.0.0.2", "127.54.0.1", "127.255.255.254"])
def test_every_other_source_is_a_stranger(source: str) -> None:
    """Strangers come from a documentation range that no policy admits."""
    assert IPv4Address(public_address(source)) in IPv4Network("203.0.113.0/24")


@pytest.mark.parametrize("source", ["128.0.0.1", "10.0.0.1", "nonsense", "::1"])
def test_other_sources_are_refused(source: str) -> None:
    """The lab talks on loopback only."""
    with pytest.raises(ValueError, match=source):
        public_address(source)


@pytest.mark.parametrize(("place", "index"), [("eu-central-1", 0), ("us-east-1", 100), ("us-east-1", -1)])
def test_unknown_checkers_are_refused(place: str, index: int) -> None:
    """There are no checkers outside Route 53's places."""
    with pytest.raises(ValueError, match=place):
        checker_source(place, index)
