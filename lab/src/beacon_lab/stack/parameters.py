"""Checks parameters as CloudFormation does before it creates anything, and lists every wrong one at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

from beacon_lab.stack.document import Json, TemplateError, mapping, sequence, text

__all__ = ["Value", "Values", "bind", "described", "settled"]

Value: TypeAlias = "str | list[str]"
Values: TypeAlias = Mapping[str, Value]

_TYPES = frozenset({"String", "Number", "CommaDelimitedList"})
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


def settled(
    template: Mapping[str, Json], given: Mapping[str, str], previous: Mapping[str, str]
) -> dict[str, str]:
    """Every parameter's value as an update settles it: the given, else the previous one, else the default.

    That is UsePreviousValue, which ``sam deploy`` and ``aws cloudformation deploy`` ask for each parameter
    that they are not given. So a parameter keeps its value when its line is taken out of a file, and also
    when the template's default changes. One that the template no longer declares is dropped, unless it is
    given: ``bind`` refuses that, and a parameter without any value.
    """
    declared = mapping(template.get("Parameters", {}), "Parameters")
    values = {
        name: text(declaration["Default"], name)
        for name, node in declared.items()
        if "Default" in (declaration := mapping(node, name))
    }
    kept = {name: value for name, value in previous.items() if name in declared}
    return {**values, **kept, **given}


def described(template: Mapping[str, Json], values: Mapping[str, str]) -> dict[str, str]:
    """The values as CloudFormation shows them: asterisks for a NoEcho parameter."""
    declared = mapping(template.get("Parameters", {}), "Parameters")
    return {
        name: "****" if mapping(declared[name], name).get("NoEcho") else value
        for name, value in values.items()
    }


def bind(template: Mapping[str, Json], given: Mapping[str, str]) -> tuple[Values, tuple[str, ...]]:
    """The parameters' values, lists split, and a reason for each that cannot be used.

    A parameter that was refused has no value. Raises TemplateError for a declaration the lab does not know.
    """
    declared = mapping(template.get("Parameters", {}), "Parameters")
    reasons = [
        f"{name} is not a parameter of this template" for name in sorted(given.keys() - declared.keys())
    ]
    values: dict[str, Value] = {}
    for name, node in declared.items():
        declaration = mapping(node, name)
        if name in given:
            raw = given[name]
        elif "Default" in declaration:
            raw = text(declaration["Default"], name)
        else:
            reasons.append(f"{name} is missing: {_wanted(declaration)}")
            continue
        kind = str(declaration.get("Type"))
        if kind not in _TYPES:
            raise TemplateError(f"parameter {name} is of type {kind}, which the lab does not know")
        items = [item.strip() for item in raw.split(",")] if kind == "CommaDelimitedList" else [raw]
        if all(_accepts(name, declaration, item) for item in items):
            values[name] = items if kind == "CommaDelimitedList" else raw
        else:
            shown = "the value that was given" if declaration.get("NoEcho") else repr(raw)
            reasons.append(f"{name} must be {_wanted(declaration)}; {shown} is not")
    return values, tuple(reasons)


def _accepts(name: str, declaration: Mapping[str, Json], item: str) -> bool:
    allowed = declaration.get("AllowedValues")
    if allowed is not None and item not in {text(choice, name) for choice in sequence(allowed, name)}:
        return False
    pattern = declaration.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(text(pattern, name), item):
        return False
    if not _limit(declaration, "MinLength", 0) <= len(item) <= _limit(declaration, "MaxLength", 4096):
        return False
    if declaration.get("Type") != "Number":
        return True
    if not _NUMBER.fullmatch(item):
        return False
    low, high = _limit(declaration, "MinValue", float("-inf")), _limit(declaration, "MaxValue", float("inf"))
    return low <= float(item) <= high


def _limit(declaration: Mapping[str, Json], key: str, default: float) -> float:
    return float(text(declaration[key], key)) if key in declaration else default


def _wanted(declaration: Mapping[str, Json]) -> str:
    if "ConstraintDescription" in declaration:
        return str(declaration["ConstraintDescription"])
    if "AllowedValues" in declaration:
        choices = sequence(declaration["AllowedValues"], "AllowedValues")
        return "one of " + ", ".join(text(choice, "AllowedValues") or "(empty)" for choice in choices)
    if declaration.get("Type") == "Number":
        low, high = declaration.get("MinValue", "any"), declaration.get("MaxValue", "any")
        return f"a number from {low} to {high}"
    return str(declaration.get("Description", "a value"))
