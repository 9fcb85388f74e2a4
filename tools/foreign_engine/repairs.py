"""Repairs three faults of the engine at start-up by wrapping its functions; no installed file changes.

Its Route 53 answers booleans as Python writes them (`True`), which every client reads as false, and reads the
checker Regions as empty strings. Its CloudFormation compares a `Fn::Join` in a condition as it is written
instead of joining it. If a later engine repairs these, the wrappers change nothing.
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from ministack.services import route53
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

__all__ = ["repair"]

_evaluate = engine._evaluate_conditions
_parse = route53._parse_health_check_config
_build = route53._build_health_check_el


def repair() -> None:
    """Put the wrappers in their places."""
    for module in (changesets, engine, handlers, provisioners, stacks):
        if hasattr(module, "_evaluate_conditions"):
            module._evaluate_conditions = _conditions
    route53._parse_health_check_config = _parsed
    route53._build_health_check_el = _built


def _parsed(element: Element) -> dict[str, Any]:
    config: dict[str, Any] = _parse(element)
    if "Regions" in config:
        listed = next(child for child in element if child.tag.rpartition("}")[2] == "Regions")
        config["Regions"] = [region.text or "" for region in listed]
    return config


def _built(parent: Element, check: dict[str, Any]) -> None:
    config = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in check["config"].items()
    }
    _build(parent, {**check, "config": config})


def _conditions(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, bool]:
    joined = _joined(template.get("Conditions", {}), parameters)
    found: dict[str, bool] = _evaluate({**template, "Conditions": joined}, parameters)
    return found


def _joined(node: Any, parameters: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        return [_joined(each, parameters) for each in node]
    if not isinstance(node, dict):
        return node
    if set(node) == {"Fn::Join"}:
        delimiter, items = node["Fn::Join"]
        listed = parameters[items["Ref"]]["Value"]  # a list is one string, with commas, among the parameters
        return str(delimiter).join(listed.split(","))
    return {name: _joined(each, parameters) for name, each in node.items()}
