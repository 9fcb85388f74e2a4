"""sql/remove-region.sql forgets a Region, and the rule that one stays undrained knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from tests.places import ROOT

from beacon_lab.dsql.bootstrap import run_script
from beacon_lab.dsql.sql_script import ScriptRefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.conftest import DsqlCluster

pytestmark = pytest.mark.lab

SQL = ROOT / "sql"
EAST_1, EAST_2 = "us-east-1", "us-east-2"


@pytest.fixture(autouse=True)
def _as_before(dsql: DsqlCluster) -> Iterator[None]:
    """Both Regions are there and released afterwards, and the audit is empty."""
    yield
    admin = dsql.connect()
    regions = {"service": dsql.service, "target": "dsql", "regions": f"{EAST_1},{EAST_2}"}
    run_script(admin, SQL / "regions.sql", regions)
    admin.execute("UPDATE beacon.intent SET forced = NULL, until = NULL")
    run_script(admin, SQL / "regions.sql", regions)
    admin.execute("DELETE FROM beacon.change")


def change(dsql: DsqlCluster, script: str, region: str) -> None:
    """Run a script for a Region: as admin, or as the operators' role where that may."""
    values = {"service": dsql.service, "target": "dsql", "region": region}
    if script == "remove-region.sql":
        run_script(dsql.connect(), SQL / script, values)
    else:
        spoken = {"reason": "drill", "actor": "alice", "minutes": ""}
        run_script(dsql.connect(dsql.operator_role), SQL / script, values | spoken)


def regions(dsql: DsqlCluster) -> list[str]:
    rows = dsql.connect(dsql.login_role, front=dsql.fronts[EAST_2]).execute(
        "SELECT region FROM beacon.intent WHERE service = %s ORDER BY region", (dsql.service,)
    )
    return [region for (region,) in rows.fetchall()]


def test_the_last_region_left_cannot_be_drained_after_the_other_is_removed(dsql: DsqlCluster) -> None:
    """With the row still there it could be: a Region that is gone would count as one that serves."""
    change(dsql, "drain.sql", EAST_1)
    change(dsql, "remove-region.sql", EAST_1)
    assert regions(dsql) == [EAST_2]
    with pytest.raises(ScriptRefusedError, match="the last Region"):
        change(dsql, "drain.sql", EAST_2)


def test_a_region_cannot_be_removed_while_every_other_is_drained(dsql: DsqlCluster) -> None:
    """No Region would be left to serve; nothing has changed then."""
    change(dsql, "drain.sql", EAST_2)
    with pytest.raises(psycopg.errors.CheckViolation, match="one_region_at_least_stays_undrained"):
        change(dsql, "remove-region.sql", EAST_1)
    assert regions(dsql) == [EAST_1, EAST_2]


def test_removing_a_region_that_is_not_there_changes_nothing(dsql: DsqlCluster) -> None:
    """So a second run does no harm."""
    change(dsql, "remove-region.sql", "us-west-2")
    assert regions(dsql) == [EAST_1, EAST_2]
