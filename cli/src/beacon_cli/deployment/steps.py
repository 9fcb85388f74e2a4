"""The steps that are left of a deployment, from what is there now. Pure.

A first deployment, and one that was cut off anywhere, have the same rules: what is done already is no step.

======================================  =================================================================
in a Region                             the steps
======================================  =================================================================
there is no stack                       the stack without a record; the database; its checkers find it healthy
the database lacks what it needs        the database; its checkers find it healthy
its checkers do not find it healthy     wait for that
the file wants a record, the stack has  the record, once every Region passes; the PRIMARY's first
none
none of these anywhere                  the deployment again, one Region after the other
======================================  =================================================================

The alarms of global.yaml come last, after the Regions have their health checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from beacon_cli.errors import FailedError

__all__ = ["RegionFacts", "Step", "Work", "plan"]

_NONE = "none"


class Work(Enum):
    """What a step does."""

    STACK = "stack"
    DATABASE = "database"
    PASS = "pass"  # noqa: S105 - no password
    RECORD = "record"
    UPDATE = "update"
    GLOBAL = "global"

    def words(self, region: str) -> str:
        """The step as a person reads it."""
        return {
            Work.STACK: f"{region}: deploy the stack, without a record",
            Work.DATABASE: f"database: schema, roles, and the grants of {region}",
            Work.PASS: f"{region}: wait until Route 53's checkers find /health healthy",
            Work.RECORD: f"{region}: turn the record on",
            Work.UPDATE: f"{region}: deploy the stack again, while every other Region serves",
            Work.GLOBAL: "global: deploy the alarms for a Region that leaves DNS",
        }[self]


@dataclass(frozen=True, slots=True)
class Step:
    """One step; ``region`` is empty for that of all Regions."""

    work: Work
    region: str = ""

    @property
    def words(self) -> str:
        """The step as a person reads it."""
        return self.work.words(self.region)


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """A Region as it is, and what the file wants of it."""

    region: str
    stack: str
    """The stack's status; empty where there is none."""
    record: str
    """The routing policy of the stack; empty where there is none."""
    wanted_record: str
    database_ready: bool
    serving: bool
    primary: bool = True

    @property
    def lacks_record(self) -> bool:
        """Whether its record is still to be turned on."""
        return self.wanted_record != _NONE and self.record in ("", _NONE)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of a first deployment is left."""
        return bool(self.stack) and self.database_ready and self.serving and not self.lacks_record


def plan(facts: Sequence[RegionFacts], chosen: Sequence[str], *, with_global: bool) -> tuple[Step, ...]:
    """The steps for the Regions ``chosen``, in order.

    ``with_global`` says that global.yaml is configured and not deployed. Raises :class:`FailedError` for a
    stack that CloudFormation cannot change.
    """
    for one in facts:
        if one.region in chosen and one.stack in ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"):
            raise FailedError(
                f"the stack of {one.region} is {one.stack}: its first deployment failed, so delete it first",
                f"aws cloudformation delete-stack --region {one.region} --stack-name NAME",
            )
    mine = sorted((one for one in facts if one.region in chosen), key=lambda one: not one.primary)
    if all(one.is_whole for one in mine):
        again = tuple(Step(Work.UPDATE, one.region) for one in mine)
        return (*again, Step(Work.GLOBAL)) if with_global else again
    steps: list[Step] = []
    for one in mine:
        if not one.stack:
            steps.append(Step(Work.STACK, one.region))
        if not one.stack or not one.database_ready:
            steps.append(Step(Work.DATABASE, one.region))
        if not (one.stack and one.database_ready and one.serving):
            steps.append(Step(Work.PASS, one.region))
    steps += [Step(Work.RECORD, one.region) for one in mine if one.lacks_record]
    if with_global:
        steps.append(Step(Work.GLOBAL))
    return tuple(steps)
