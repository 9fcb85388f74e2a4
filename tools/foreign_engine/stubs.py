"""Stubs for resource types that the engine does not have: a stub only records the properties.

A stub accepts any properties. It shows only that the template resolves, and that the resource is made in
order and deleted. The test compares such a resource with its CloudFormation schema instead. Each stub is one
JSON file in the directory that BEACON_FOREIGN_STUBS names, as long as the resource is in a stack.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from ministack.core.responses import get_region

__all__ = ["stub_handlers", "with_metric_math"]

Properties = dict[str, Any]
Made = tuple[str, Properties]

_ALARM = "AWS::CloudWatch::Alarm"
_STUBBED = {
    "AWS::FIS::ExperimentTemplate": "Id",
    "AWS::WAFv2::LoggingConfiguration": None,
}
"""Each type, and the attribute that holds its id, if it has one."""


def stub_handlers() -> dict[str, Properties]:
    """A handler for each type that is stubbed completely."""
    return {kind: _handlers(kind, attribute) for kind, attribute in _STUBBED.items()}


def with_metric_math(own: Properties) -> Properties:
    """The engine's handler of alarms, with a stub for those on an expression, which the engine refuses."""

    def create(logical_id: str, properties: Properties, stack: str) -> Made:
        if "Metrics" not in properties:
            return own["create"](logical_id, properties, stack)  # type: ignore[no-any-return]
        _write(_ALARM, properties["AlarmName"], properties)
        return properties["AlarmName"], {}

    def update(name: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Made:
        if "Metrics" not in old and "Metrics" not in new:
            which = (logical_id,) if own.get("update_with_logical_id") else ()
            return own["update"](name, old, new, stack, *which)  # type: ignore[no-any-return]
        delete(name, old)
        return create(logical_id, new, stack)

    def delete(name: str, properties: Properties) -> None:
        if "Metrics" in properties:
            _file(name).unlink()
        else:
            own["delete"](name, properties)

    return {**own, "create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _handlers(kind: str, attribute: str | None) -> Properties:
    def create(_logical_id: str, properties: Properties, _stack: str) -> Made:
        return update(f"stub-{uuid.uuid4().hex}", {}, properties, "")

    def update(identifier: str, _old: Properties, new: Properties, _stack: str) -> Made:
        _write(kind, identifier, new)
        return identifier, {attribute: identifier} if attribute else {}

    def delete(identifier: str, _properties: Properties) -> None:
        _file(identifier).unlink()

    return {"create": create, "update": update, "delete": delete}


def _write(kind: str, identifier: str, properties: Properties) -> None:
    record = {"type": kind, "region": get_region(), "id": identifier, "properties": properties}
    _file(identifier).write_text(json.dumps(record, default=str), encoding="utf-8")


def _file(identifier: str) -> Path:
    return Path(os.environ["BEACON_FOREIGN_STUBS"]) / f"{get_region()}.{identifier}.json"
