"""What code and templates must spell alike, and what a host's name says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from beacon.names import (
    EDGE,
    NAMESPACE,
    SCHEDULE,
    TARGET,
    host_problem,
    region_of_host,
    search_string,
    service_name,
)

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = (ROOT / "template.yaml").read_text(encoding="utf-8")
HOST = "a" * 26 + ".dsql.us-east-1.on.aws"


def test_the_template_spells_the_names_alike() -> None:
    """An alarm on another namespace never fires; a schedule from another source starts nothing."""
    assert f"\n      Namespace: {NAMESPACE}\n" in TEMPLATE
    assert f'"source":"{SCHEDULE}"' in TEMPLATE
    assert json.loads((ROOT / "events/edge-trigger.json").read_text(encoding="utf-8"))["source"] == EDGE
    assert TARGET == "dsql"


def test_a_service_is_named_by_app_and_environment_and_its_string_by_the_region_too() -> None:
    """Route 53 finds the string of this deployment in this Region and no other."""
    assert service_name("orders", "prod") == "orders-prod"
    assert search_string("orders-prod", "us-east-1") == "beacon:orders-prod:us-east-1:serving"


@pytest.mark.parametrize(
    "host", [HOST, HOST.replace("dsql", "dsql-fnh4"), HOST.replace("dsql", "dsql-" + "a" * 16)]
)
def test_an_endpoint_of_dsql_names_its_region(host: str) -> None:
    """The public endpoint, and a private one with its suffix."""
    assert region_of_host(host) == "us-east-1"
    assert host_problem(host, "us-east-1") is None
    assert host_problem(host, "us-east-2") == f"{host!r} is an endpoint of us-east-1, not of 'us-east-2'"


@pytest.mark.parametrize(
    "host",
    [
        "",
        HOST[1:],
        "a" + HOST,
        HOST.upper(),
        HOST + ".",
        HOST + "\n",
        "x." + HOST,
        HOST.replace("dsql", "rds"),
        HOST.replace("dsql", "dsql-"),
        HOST.replace("dsql", "dsql-" + "a" * 17),
        HOST.replace("us-east-1", "u" * 21),
        HOST.replace("on.aws", "on-aws"),
        HOST.replace(".us-", "-us-"),
    ],
)
def test_any_other_host_is_none(host: str) -> None:
    """A document of another origin would send tokens there."""
    assert region_of_host(host) is None
    assert host_problem(host, "us-east-1") == (
        f"{host!r} is not a DSQL endpoint (<26 characters>.dsql.<region>.on.aws, lower case)"
    )
