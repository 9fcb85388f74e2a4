"""dsql.yaml and global.yaml, deployed with the `aws` commands that stand at their tops."""

from __future__ import annotations

import pytest
from tests.foreign.clients import Project
from tests.foreign.compare import hold_against
from tests.foreign.seen import Cloud
from tools.foreign_engine.process import ROOT

ONE, TWO = "us-east-1", "us-east-2"
DSQL, GLOBAL = "beacon-prod-dsql", "beacon-prod-global"
CHECKS = {region: f"0123456{number}-89ab-cdef-0123-456789abcdef" for number, region in enumerate((ONE, TWO))}
WITNESS = {"WitnessRegion": "us-west-2"}


@pytest.fixture
def dsql(project: Project, cloud: Cloud) -> dict[str, dict[str, str]]:
    """The pair of clusters, made in the three steps of dsql.yaml; each Region's outputs."""
    project.deploy(ONE, DSQL, "dsql.yaml", WITNESS)
    first = cloud.outputs(DSQL, ONE)
    project.deploy(TWO, DSQL, "dsql.yaml", {**WITNESS, "Peer": first["ClusterArn"]})
    second = cloud.outputs(DSQL, TWO)
    project.deploy(ONE, DSQL, "dsql.yaml", {**WITNESS, "Peer": second["ClusterArn"]})
    return {ONE: first, TWO: second}


def test_two_clusters_name_each_other_and_outlive_their_stack(
    project: Project, cloud: Cloud, dsql: dict[str, dict[str, str]]
) -> None:
    """The third step changes the first cluster in place; deleting a stack leaves the data."""
    for region, other in ((ONE, TWO), (TWO, ONE)):
        given = {**WITNESS, "Peer": dsql[other]["ClusterArn"]}
        seen = hold_against(cloud, ROOT / "dsql.yaml", DSQL, region, given)
        assert seen["Cluster"].attributes["ResourceArn"] == dsql[region]["ClusterArn"]
        assert dsql[region]["Endpoint"] == seen["Cluster"].attributes["Endpoint"]
    project.delete(ONE, DSQL)
    identifier = dsql[ONE]["ClusterArn"].rpartition("/")[2]
    assert cloud.client("dsql", ONE).get_cluster(identifier=identifier)["deletionProtectionEnabled"] is True


def test_a_witness_from_another_set_of_regions_is_refused(project: Project) -> None:
    """By the template's Rules, before anything is made."""
    with pytest.raises(AssertionError, match="The witness of a cluster in the United States"):
        project.deploy(ONE, DSQL, "dsql.yaml", {"WitnessRegion": "eu-west-1"})
    with pytest.raises(AssertionError, match="The witness is a third Region"):
        project.deploy(ONE, DSQL, "dsql.yaml", {"WitnessRegion": ONE})


def test_alarms_of_all_regions_come_and_go(project: Project, cloud: Cloud) -> None:
    """Two Regions, then one: what is left out keeps its value, an empty value takes the Region out."""
    both = {
        "FirstRegion": ONE,
        "FirstHealthCheckId": CHECKS[ONE],
        "SecondRegion": TWO,
        "SecondHealthCheckId": CHECKS[TWO],
        "WithDashboard": "true",
    }
    one = {"FirstRegion": ONE, "FirstHealthCheckId": CHECKS[ONE]}
    template = project.directory / "global.yaml"
    project.deploy(ONE, GLOBAL, "global.yaml", both)
    hold_against(cloud, template, GLOBAL, ONE, both)

    assert "No changes to deploy" in project.deploy(ONE, GLOBAL, "global.yaml", one)
    seen = hold_against(cloud, template, GLOBAL, ONE, both)
    assert "StatusSecond" in seen

    away = {**one, "SecondRegion": "", "SecondHealthCheckId": "", "WithDashboard": "false"}
    project.deploy(ONE, GLOBAL, "global.yaml", away)
    assert "StatusSecond" not in hold_against(cloud, template, GLOBAL, ONE, away)

    project.delete(ONE, GLOBAL)
    assert cloud.client("cloudwatch", ONE).describe_alarms()["MetricAlarms"] == []
    assert cloud.stubbed() == {}


def test_alarms_belong_where_route_53s_metrics_are(project: Project) -> None:
    """Elsewhere they would wait for data without an end, so the template refuses."""
    with pytest.raises(AssertionError, match="deploy this stack there"):
        project.deploy(TWO, GLOBAL, "global.yaml", {"FirstRegion": TWO, "FirstHealthCheckId": CHECKS[TWO]})
