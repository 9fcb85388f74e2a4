"""What `beacon-lab up --policy` changes: whom DNS sends where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from beacon_lab.route53.distances import client_subnet

if TYPE_CHECKING:
    from tests.lab.command.conftest import LabProcess, Up

pytestmark = pytest.mark.lab

FIRST, SECOND = "us-east-1", "us-east-2"


def test_weighted_records_share_the_clients(up: Up) -> None:
    """With equal weights both Regions are named; forty answers of one kind would be one chance in 2**39."""
    lab = up("--policy", "weighted")
    assert {lab.look_up() for _ in range(40)} == {lab.host(FIRST), lab.host(SECOND)}


@pytest.fixture(scope="module")
def latency_lab(up_for_module: Up) -> LabProcess:
    """A lab with latency records."""
    return up_for_module("--policy", "latency")


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_a_client_is_sent_to_its_own_region_by_the_listener_it_asks(
    latency_lab: LabProcess, region: str
) -> None:
    """Each Region's port answers as to a client there; the default port, as to one in the first Region."""
    dns = latency_lab.ready["dns"]
    assert latency_lab.look_up(dns["by_region"][region]["port"]) == latency_lab.host(region)
    assert latency_lab.look_up() == latency_lab.host(FIRST)


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_a_client_is_sent_to_its_own_region_by_its_subnet(latency_lab: LabProcess, region: str) -> None:
    """EDNS client subnet tells more than the listener, as a resolver far away from its client would."""
    other = SECOND if region == FIRST else FIRST
    said = latency_lab.dig("db.orders.example", f"+subnet={client_subnet(region)}", "+short", near=other)
    assert said.splitlines()[0] == f"{latency_lab.host(region)}."


def test_a_client_of_a_broken_region_is_sent_to_the_other(latency_lab: LabProcess) -> None:
    """Until it heals, every client gets the Region that works."""
    near = latency_lab.ready["dns"]["by_region"][SECOND]["port"]
    latency_lab.fault(SECOND, "dsql-freeze")
    latency_lab.until("sent to the other", lambda: latency_lab.look_up(near) == latency_lab.host(FIRST))
    latency_lab.heal(SECOND)
    latency_lab.until("sent back", lambda: latency_lab.look_up(near) == latency_lab.host(SECOND))
