"""What CloudFormation knows of a stack, compared with what the file gives and the template declares.

A parameter that `sam deploy` does not name keeps the stack's value (``UsePreviousValue``). So a line that
was removed from samconfig.toml changes nothing. This module finds those parameters beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

__all__ = ["Declared", "Stored", "TemplateUnreadableError", "changed", "kept", "read_declared", "read_stack"]


class TemplateUnreadableError(Exception):
    """The template that would be deployed cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter as the template declares it; ``default`` is ``None`` for one without."""

    default: str | None
    secret: bool
    """CloudFormation shows asterisks in place of its value (NoEcho)."""


@dataclass(frozen=True, slots=True)
class Stored:
    """The state of a stack that a deployment needs."""

    account: str
    status: str
    updated_at: datetime
    parameters: Mapping[str, str]
    waiting: frozenset[str]
    """The change sets that were made and could still be executed."""

    @property
    def exists(self) -> bool:
        """Whether anything was deployed: a first change set that was not executed leaves an empty stack."""
        return self.status != "REVIEW_IN_PROGRESS"


def read_declared(path: Path) -> dict[str, Declared]:
    """The parameters of the template at ``path``; raise :class:`TemplateUnreadableError`."""
    try:
        document: Any = yaml_parse(path.read_text(encoding="utf-8"))
        declared = document["Parameters"]
        return {
            str(name): Declared(
                default=str(node["Default"]) if "Default" in node else None,
                secret=str(node.get("NoEcho", "")).lower() == "true",
            )
            for name, node in declared.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TemplateUnreadableError(f"{path} is no template with parameters: {error}") from error


def read_stack(client: Any, name: str) -> Stored | None:  # noqa: ANN401 - its stubs are not installed
    """The stack ``name``; ``None`` if there is none. Raises botocore's errors."""
    try:
        row = client.describe_stacks(StackName=name)["Stacks"][0]
    except ClientError as error:
        if "does not exist" in error.response.get("Error", {}).get("Message", ""):
            return None
        raise
    waiting: set[str] = set()
    for page in client.get_paginator("list_change_sets").paginate(StackName=name):
        found = page.get("Summaries", [])
        waiting |= {one["ChangeSetName"] for one in found if one.get("ExecutionStatus") == "AVAILABLE"}
    return Stored(
        account=row["StackId"].split(":")[4],
        status=row["StackStatus"],
        updated_at=row.get("LastUpdatedTime", row["CreationTime"]),
        parameters={one["ParameterKey"]: one["ParameterValue"] for one in row.get("Parameters", [])},
        waiting=frozenset(waiting),
    )


def kept(stored: Stored, given: Mapping[str, str], declared: Mapping[str, Declared]) -> dict[str, str]:
    """The values that a deployment would keep although neither ``given`` nor the defaults hold them."""
    return {
        name: stored.parameters[name]
        for name, parameter in declared.items()
        if name in stored.parameters
        and name not in given
        and not parameter.secret
        and stored.parameters[name] != parameter.default
    }


def changed(
    stored: Stored, given: Mapping[str, str], declared: Mapping[str, Declared]
) -> dict[str, tuple[str, str]]:
    """The values that a deployment would change, with the present and the next one; no secret."""
    return {
        name: (stored.parameters[name], given[name])
        for name, parameter in declared.items()
        if name in given and not parameter.secret and stored.parameters.get(name, given[name]) != given[name]
    }
