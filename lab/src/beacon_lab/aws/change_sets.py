"""CloudFormation's change sets for the stack that the lab can deploy, as `sam deploy` uses them.

The simulator's CloudFormation takes neither the SAM transform nor half of template.yaml's resource types.
So the lab answers the calls that make and execute a change set of that stack, and deploys it as at its own
start. The code is that of the working tree: the artefacts that a client has uploaded are not used. Every
other call, and every other stack, goes to the simulator.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from beacon_lab.aws.errors import ApiError, Encoded

__all__ = ["ChangeSets", "Deploys", "Given"]

_NAMESPACE = "http://cloudformation.amazonaws.com/doc/2010-05-15/"
_STACK = "AWS::CloudFormation::Stack"

#: A parameter's value; ``None`` keeps the one that the stack has (UsePreviousValue).
Given = Mapping[str, str | None]


class Deploys(Protocol):
    """What deploys a Region. Every method raises :class:`ApiError` for parameters that are refused."""

    def parameters(self, region: str) -> Mapping[str, str]:
        """The parameters of the Region's stack as CloudFormation shows them; none without one."""

    def outputs(self, region: str) -> Mapping[str, str]:
        """The outputs of the Region's stack; none without one."""

    def check(self, region: str, given: Given) -> None:
        """Refuse what :meth:`deploy` would refuse, before anything is changed."""

    async def deploy(self, region: str, given: Given) -> None:
        """Create or update the Region's stack; raises :class:`DeployError` when that fails."""

    def summary(self) -> Sequence[Mapping[str, str]]:
        """The template's parameters: ParameterKey, DefaultValue where there is one, NoEcho."""


@dataclass(slots=True)
class _ChangeSet:
    name: str
    arn: str
    kind: str
    given: Given
    executed: bool = False


@dataclass(slots=True)
class _StackState:
    """A Region's stack while the lab answers for it."""

    arn: str
    created: datetime
    status: str
    exists: bool = False
    #: When a change set was last executed, but for the first one.
    updated: datetime | None = None
    change_sets: list[_ChangeSet] = field(default_factory=list)
    events: list[tuple[str, datetime, str, str]] = field(default_factory=list)


class ChangeSets:
    """Answers for the stack ``name`` in every Region; ``run`` starts a deployment in the background."""

    def __init__(
        self, name: str, account: str, deploys: Deploys, run: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._name = name
        self._account = account
        self._deploys = deploys
        self._run = run
        self._stacks: dict[str, _StackState] = {}
        self._lock = asyncio.Lock()

    def answer(self, region: str, body: bytes) -> Encoded | None:
        """The answer to a call of CloudFormation; ``None`` for one that is the simulator's."""
        form = {name: values[-1] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        action = form.get("Action", "")
        if action == "GetTemplateSummary" and form.get("StackName") is None:
            return self._summary()
        if not self._is_ours(region, form):
            return None
        answers: Mapping[str, Callable[[], Encoded | None]] = {
            "CreateChangeSet": lambda: self._create(region, form),
            "DescribeChangeSet": lambda: self._describe(region, form),
            "ListChangeSets": lambda: self._list(region),
            "ExecuteChangeSet": lambda: self._execute(region, form),
            "DescribeStackEvents": lambda: self._events(region),
            "DescribeStacks": lambda: self._stack(region),
        }
        return answers[action]() if action in answers else None

    # -- the calls

    def _is_ours(self, region: str, form: Mapping[str, str]) -> bool:
        named = form.get("StackName", "")
        state = self._stacks.get(region)
        arns = [] if state is None else [state.arn, *(one.arn for one in state.change_sets)]
        return named == self._name or named in arns or (not named and form.get("ChangeSetName") in arns)

    def _create(self, region: str, form: Mapping[str, str]) -> Encoded:
        kind = form.get("ChangeSetType", "UPDATE")
        state = self._stacks.get(region)
        exists = state is not None and state.exists
        if kind == "CREATE" and exists:
            raise ApiError(400, "ValidationError", f"Stack [{self._name}] already exists")
        if kind != "CREATE" and not exists:
            raise ApiError(400, "ValidationError", f"Stack [{self._name}] does not exist")
        if state is not None and state.status.endswith("_IN_PROGRESS") and state.status != _REVIEW:
            raise ApiError(400, "ValidationError", f"Stack [{self._name}] is in {state.status} state")
        given = _given(form)
        self._deploys.check(region, given)
        if state is None:
            place = f"arn:aws:cloudformation:{region}:{self._account}:stack/{self._name}/{uuid.uuid4()}"
            state = self._stacks[region] = _StackState(place, datetime.now(UTC), _REVIEW)
            self._note(state, _REVIEW, "")
        name = form.get("ChangeSetName", "")
        arn = f"arn:aws:cloudformation:{region}:{self._account}:changeSet/{name}/{uuid.uuid4()}"
        state.change_sets.append(_ChangeSet(name, arn, kind, given))
        return _encoded("CreateChangeSet", f"<Id>{escape(arn)}</Id><StackId>{escape(state.arn)}</StackId>")

    def _describe(self, region: str, form: Mapping[str, str]) -> Encoded:
        state, found = self._found(region, form)
        action = "Add" if found.kind == "CREATE" else "Modify"
        change = (
            "<member><Type>Resource</Type><ResourceChange>"
            f"<Action>{action}</Action><LogicalResourceId>{escape(self._name)}</LogicalResourceId>"
            f"<ResourceType>{_STACK}</ResourceType><Replacement>False</Replacement>"
            "</ResourceChange></member>"
        )
        return _encoded(
            "DescribeChangeSet",
            f"<ChangeSetName>{escape(found.name)}</ChangeSetName><ChangeSetId>{escape(found.arn)}</ChangeSetId>"
            f"<StackId>{escape(state.arn)}</StackId><StackName>{escape(self._name)}</StackName>"
            f"<Status>CREATE_COMPLETE</Status>"
            f"<ExecutionStatus>{'EXECUTE_COMPLETE' if found.executed else 'AVAILABLE'}</ExecutionStatus>"
            f"<Changes>{change}</Changes>",
        )

    def _list(self, region: str) -> Encoded | None:
        state = self._stacks.get(region)
        if state is None:
            return None
        rows = "".join(
            f"<member><ChangeSetName>{escape(one.name)}</ChangeSetName>"
            f"<ChangeSetId>{escape(one.arn)}</ChangeSetId><ExecutionStatus>AVAILABLE</ExecutionStatus></member>"
            for one in state.change_sets
            if not one.executed
        )
        return _encoded("ListChangeSets", f"<Summaries>{rows}</Summaries>")

    def _execute(self, region: str, form: Mapping[str, str]) -> Encoded:
        state, found = self._found(region, form)
        if found.executed:
            raise ApiError(400, "InvalidChangeSetStatus", f"ChangeSet [{found.name}] was executed already")
        found.executed = True
        if state.exists:
            state.updated = datetime.now(UTC)
        self._note(state, f"{found.kind}_IN_PROGRESS", "User Initiated")
        self._run(self._carry_out(region, state, found))
        return _encoded("ExecuteChangeSet", "")

    async def _carry_out(self, region: str, state: _StackState, found: _ChangeSet) -> None:
        # The simulator's records of one name belong to both Regions: one deployment at a time.
        async with self._lock:
            try:
                await self._deploys.deploy(region, found.given)
            except ApiError as error:
                failed = "ROLLBACK_COMPLETE" if found.kind == "CREATE" else "UPDATE_ROLLBACK_COMPLETE"
                self._note(state, failed, error.message)
                return
        state.exists = True
        self._note(state, f"{found.kind}_COMPLETE", "")

    def _events(self, region: str) -> Encoded | None:
        state = self._stacks.get(region)
        if state is None:
            return None
        rows = "".join(
            f"<member><StackId>{escape(state.arn)}</StackId><EventId>{key}</EventId>"
            f"<StackName>{escape(self._name)}</StackName>"
            f"<LogicalResourceId>{escape(self._name)}</LogicalResourceId>"
            f"<PhysicalResourceId>{escape(state.arn)}</PhysicalResourceId>"
            f"<ResourceType>{_STACK}</ResourceType><Timestamp>{_instant(at)}</Timestamp>"
            f"<ResourceStatus>{status}</ResourceStatus>"
            + (f"<ResourceStatusReason>{escape(why)}</ResourceStatusReason>" if why else "")
            + "</member>"
            for key, at, status, why in reversed(state.events)
        )
        return _encoded("DescribeStackEvents", f"<StackEvents>{rows}</StackEvents>")

    def _stack(self, region: str) -> Encoded | None:
        state = self._stacks.get(region)
        if state is None:
            return None
        parameters = _members(self._deploys.parameters(region), "ParameterKey", "ParameterValue")
        outputs = _members(self._deploys.outputs(region), "OutputKey", "OutputValue")
        updated = f"<LastUpdatedTime>{_instant(state.updated)}</LastUpdatedTime>" if state.updated else ""
        return _encoded(
            "DescribeStacks",
            f"<Stacks><member><StackName>{escape(self._name)}</StackName><StackId>{escape(state.arn)}</StackId>"
            f"<CreationTime>{_instant(state.created)}</CreationTime>{updated}"
            f"<StackStatus>{state.status}</StackStatus><Parameters>{parameters}</Parameters>"
            f"<Outputs>{outputs}</Outputs></member></Stacks>",
        )

    def _summary(self) -> Encoded:
        rows = "".join(
            "<member>"
            + "".join(f"<{key}>{escape(value)}</{key}>" for key, value in row.items())
            + "</member>"
            for row in self._deploys.summary()
        )
        return _encoded(
            "GetTemplateSummary",
            f"<Parameters>{rows}</Parameters><Capabilities><member>CAPABILITY_NAMED_IAM</member></Capabilities>",
        )

    # -- parts

    def _found(self, region: str, form: Mapping[str, str]) -> tuple[_StackState, _ChangeSet]:
        state = self._stacks.get(region)
        wanted = form.get("ChangeSetName", "")
        for one in () if state is None else state.change_sets:
            if state is not None and wanted in (one.name, one.arn):
                return state, one
        raise ApiError(404, "ChangeSetNotFound", f"ChangeSet [{wanted}] does not exist")

    def _note(self, state: _StackState, status: str, why: str) -> None:
        state.status = status
        state.events.append((str(uuid.uuid4()), datetime.now(UTC), status, why))


_REVIEW = "REVIEW_IN_PROGRESS"


def _given(form: Mapping[str, str]) -> dict[str, str | None]:
    """The parameters of a call in the query protocol: Parameters.member.N.ParameterKey and so on."""
    found: dict[str, str | None] = {}
    for name, value in form.items():
        start, _, last = name.rpartition(".")
        if start.startswith("Parameters.member.") and last == "ParameterKey":
            kept = form.get(f"{start}.UsePreviousValue") == "true"
            found[value] = None if kept else form.get(f"{start}.ParameterValue", "")
    return found


def _members(pairs: Mapping[str, str], key: str, value: str) -> str:
    return "".join(
        f"<member><{key}>{escape(name)}</{key}><{value}>{escape(text)}</{value}></member>"
        for name, text in pairs.items()
    )


def _instant(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _encoded(action: str, result: str) -> Encoded:
    body = (
        f'<?xml version="1.0"?>\n<{action}Response xmlns="{_NAMESPACE}">'
        f"<{action}Result>{result}</{action}Result>"
        f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
    )
    return Encoded(200, {"Content-Type": "text/xml"}, body.encode())
