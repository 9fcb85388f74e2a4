"""Each row of the truth tables in beacon_lab.route53.records, and the distances that latency records read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon_lab.route53.distances import REGIONS, client_subnet, region_of_client, round_trip_ms
from beacon_lab.route53.records import Failover, RecordSet, choose

NEAR, FAR = "us-east-1", "ap-southeast-1"


def failover(role: str, health_check_id: str = "") -> RecordSet:
    name = Failover(role)
    return RecordSet("a.test.", "CNAME", 30, (f"{role}.test",), role, health_check_id or role, failover=name)


def latency(region: str) -> RecordSet:
    return RecordSet("a.test.", "CNAME", 30, (f"{region}.test",), region, region, region=region)


def weighted(identifier: str, weight: int) -> RecordSet:
    return RecordSet("a.test.", "CNAME", 30, (f"{identifier}.test",), identifier, identifier, weight=weight)


def chosen(records: Sequence[RecordSet], well: set[str], client: str = NEAR, seed: int = 1) -> str:
    record = choose(records, healthy=well.__contains__, client_region=client, chance=Random(seed))  # noqa: S311  # repeatable
    return record.set_identifier


def chosen_often(records: Sequence[RecordSet], well: set[str]) -> Counter[str]:
    return Counter(chosen(records, well, seed=seed) for seed in range(400))


@pytest.mark.parametrize("well", [set(), {"hc"}])
def test_a_simple_record_answers_whatever_its_health(well: set[str]) -> None:
    """Table 2 of the records: there is nothing else to answer."""
    record = RecordSet("a.test.", "A", 30, ("192.0.2.1",), health_check_id="hc")
    assert choose([record], healthy=well.__contains__, client_region=NEAR, chance=Random(1)) is record  # noqa: S311  # repeatable


@pytest.mark.parametrize(
    ("well", "answers"),
    [
        ({"PRIMARY", "SECONDARY"}, "PRIMARY"),
        ({"PRIMARY"}, "PRIMARY"),
        ({"SECONDARY"}, "SECONDARY"),
        (set[str](), "PRIMARY"),
    ],
)
def test_failover_answers_by_the_table(well: set[str], answers: str) -> None:
    """Both records exist; the order in which they are listed makes no difference."""
    pair = [failover("PRIMARY"), failover("SECONDARY")]
    assert chosen(pair, well) == answers
    assert chosen(pair[::-1], well) == answers


def test_failover_with_one_record_only_answers_with_it() -> None:
    """PRIMARY alone answers when unhealthy; so does SECONDARY alone."""
    assert chosen([failover("PRIMARY")], set()) == "PRIMARY"
    assert chosen([failover("SECONDARY")], set()) == "SECONDARY"


def test_a_record_without_a_health_check_counts_as_healthy() -> None:
    """A SECONDARY without a check takes over although nothing is known of it."""
    bare = RecordSet("a.test.", "CNAME", 30, ("b.test",), "S", "", failover=Failover.SECONDARY)
    assert chosen([failover("PRIMARY"), bare], set()) == "S"


@pytest.mark.parametrize(
    ("well", "answers"),
    [({NEAR, FAR}, NEAR), ({FAR}, FAR), ({NEAR}, NEAR), (set[str](), NEAR)],
)
def test_latency_answers_by_the_table(well: set[str], answers: str) -> None:
    """The client is in the Region of one of the two records."""
    assert chosen([latency(FAR), latency(NEAR)], well) == answers


@pytest.mark.parametrize("client", REGIONS)
def test_latency_answers_each_client_with_its_nearest_record(client: str) -> None:
    """The answer is never farther from the client than any other record."""
    records = [latency("us-east-1"), latency("us-west-2"), latency("eu-west-1")]
    answer = chosen(records, {"us-east-1", "us-west-2", "eu-west-1"}, client)
    assert round_trip_ms(client, answer) == min(round_trip_ms(client, record.region) for record in records)


def test_a_latency_record_in_a_region_of_unknown_distance_comes_last() -> None:
    """A Region outside the table is an answer only where nothing else may answer."""
    moon = RecordSet("a.test.", "CNAME", 30, ("m.test",), "moon", "moon", region="moon-1")
    assert chosen([moon, latency(FAR)], {"moon", FAR}) == FAR
    assert chosen([moon, latency(FAR)], {"moon"}) == "moon"


@pytest.mark.parametrize(
    ("weights", "well", "may_answer"),
    [
        ({"a": 1, "b": 1, "z": 0}, "abz", "ab"),
        ({"a": 1, "b": 1, "z": 0}, "bz", "b"),
        ({"a": 1, "b": 1, "y": 0, "z": 0}, "yz", "yz"),
        ({"a": 1, "b": 1, "y": 0, "z": 0}, "z", "z"),
        ({"a": 1, "b": 1, "z": 0}, "", "ab"),
        ({"y": 0, "z": 0}, "yz", "yz"),
        ({"y": 0, "z": 0}, "z", "z"),
        ({"y": 0, "z": 0}, "", "yz"),
    ],
)
def test_weighted_records_answer_by_the_table(weights: dict[str, int], well: str, may_answer: str) -> None:
    """Every record that may answer does so in 400 draws, and no other."""
    records = [weighted(name, weight) for name, weight in weights.items()]
    assert set(chosen_often(records, set(well))) == set(may_answer)


def test_weights_decide_how_often_a_record_answers() -> None:
    """Three to one, within what chance allows in 400 draws."""
    often = chosen_often([weighted("a", 3), weighted("b", 1)], {"a", "b"})
    assert 260 <= often["a"] <= 340


def test_equal_chances_without_weights() -> None:
    """All weights are 0: neither record is preferred."""
    assert 150 <= chosen_often([weighted("a", 0), weighted("b", 0)], {"a", "b"})["a"] <= 250


@given(
    st.sets(st.sampled_from(["a", "b", "c", "d"])),
    st.lists(st.integers(0, 255), min_size=4, max_size=4),
    st.randoms(),
)
def test_there_is_always_an_answer_and_a_healthy_one_where_there_is_any(
    well: set[str], weights: list[int], chance: Random
) -> None:
    """Whatever is unhealthy, one record answers, and an unhealthy one only when all are."""
    records = [weighted(name, weight) for name, weight in zip("abcd", weights, strict=True)]
    record = choose(records, healthy=well.__contains__, client_region=NEAR, chance=chance)
    assert not well or record.health_check_id in well


def test_distances_are_the_same_both_ways() -> None:
    """Every pair of Regions has one positive distance, 1 ms inside a Region."""
    for one in REGIONS:
        for other in REGIONS:
            assert round_trip_ms(one, other) == round_trip_ms(other, one) >= 1
            assert (round_trip_ms(one, other) == 1) is (one == other)


def test_clients_are_recognized_by_their_test_subnet() -> None:
    """Each Region's subnet leads back to it; other addresses lead nowhere."""
    assert {region_of_client(str(client_subnet(region)[7])) for region in REGIONS} == set(REGIONS)
    assert str(client_subnet("us-east-1")) == "10.1.0.0/16"
    for stranger in ("10.0.0.1", "10.200.0.1", "192.0.2.1", "2001:db8::1", "nonsense"):
        assert region_of_client(stranger) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": 1, "region": NEAR, "set_identifier": "x"},
        {"weight": 256, "set_identifier": "x"},
        {"weight": 1},
        {"region": NEAR, "set_identifier": "x" * 129},
        {"ttl_s": -1},
    ],
)
def test_a_record_that_route_53_refuses_is_refused(wrong: dict[str, object]) -> None:
    """Two policies, a weight or TTL out of bounds, no or too long a SetIdentifier."""
    with pytest.raises(ValueError, match=r"a\.test"):
        RecordSet(**{"name": "a.test.", "type": "A", "ttl_s": 1, "values": ("192.0.2.1",), **wrong})  # type: ignore[arg-type]
