"""CloudFormation's intrinsic functions over plain data, strictly: one that is not in the table is an error.

The evaluator knows no template. What a name stands for (a parameter, a resource, a condition, a mapping) it
asks the ``Names`` that it was made with.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Protocol, TypeAlias

from beacon_lab.stack.document import Json, TemplateError, sequence, text

__all__ = ["Evaluator", "Names"]

_VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")


class Names(Protocol):
    """What names stand for. Each method raises TemplateError for a name that stands for nothing."""

    def reference(self, name: str) -> Json:
        """What ``Ref`` gives for a parameter, a pseudo parameter or a resource."""

    def attribute(self, logical_id: str, attribute: str) -> str:
        """What ``Fn::GetAtt`` gives."""

    def condition(self, name: str) -> bool:
        """Whether a named condition holds."""

    def mapped(self, name: str, first: str, second: str) -> Json:
        """An entry of the Mappings section."""


class _Absent:
    """What ``AWS::NoValue`` evaluates to: the member or list entry that holds it is left out."""


_ABSENT: Final = _Absent()
_Value: TypeAlias = "Json | _Absent"


class Evaluator:
    """Evaluates nodes of a template. Its methods raise TemplateError, and what ``names`` raises."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._functions: Mapping[str, Callable[[Json], _Value]] = {
            "Ref": self._ref,
            "Fn::GetAtt": self._get_att,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Split": self._split,
            "Fn::Select": self._select,
            "Fn::If": self._if,
            "Fn::FindInMap": self._find_in_map,
            "Fn::Equals": self._equals,
            "Fn::Not": self._not,
            "Fn::Contains": self._contains,
            "Fn::And": lambda node: all(self.truths("Fn::And", node)),
            "Fn::Or": lambda node: any(self.truths("Fn::Or", node)),
        }

    def value(self, node: Json) -> Json:
        """``node`` with every function in it evaluated."""
        result = self._evaluate(node)
        if isinstance(result, _Absent):
            raise TemplateError("AWS::NoValue stands where a value is needed")
        return result

    def truth(self, node: Json) -> bool:
        """``node`` as a condition."""
        if isinstance(node, dict) and list(node) == ["Condition"]:
            return self._names.condition(text(node["Condition"], "Condition"))
        result = self.value(node)
        if not isinstance(result, bool):
            raise TemplateError(f"{node!r} is not a condition")
        return result

    def truths(self, function: str, node: Json) -> list[bool]:
        """The operands of ``function``, two to ten conditions."""
        operands = sequence(node, function)
        if not 2 <= len(operands) <= 10:
            raise TemplateError(f"{function} takes 2 to 10 conditions, not {len(operands)}")
        return [self.truth(operand) for operand in operands]

    def _evaluate(self, node: Json) -> _Value:
        if isinstance(node, list):
            items = [self._evaluate(item) for item in node]
            return [item for item in items if not isinstance(item, _Absent)]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            name, argument = next(iter(node.items()))
            if name in self._functions:
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise TemplateError(f"the lab does not know the intrinsic function {name}")
        members = {key: self._evaluate(member) for key, member in node.items()}
        return {key: member for key, member in members.items() if not isinstance(member, _Absent)}

    def _text(self, node: Json, where: str) -> str:
        return text(self.value(node), where)

    def _list(self, node: Json, where: str) -> list[Json]:
        return sequence(self.value(node), where)

    def _ref(self, node: Json) -> _Value:
        name = text(node, "Ref")
        return _ABSENT if name == "AWS::NoValue" else self._names.reference(name)

    def _get_att(self, node: Json) -> _Value:
        parts = node.split(".", 1) if isinstance(node, str) else _arguments("Fn::GetAtt", node, 2)
        logical_id, attribute = (text(part, "Fn::GetAtt") for part in parts)
        return self._names.attribute(logical_id, attribute)

    def _sub(self, node: Json) -> _Value:
        given: dict[str, Json] = {}
        if isinstance(node, list):
            pattern, variables = _arguments("Fn::Sub", node, 2)
            if not isinstance(variables, dict):
                raise TemplateError("Fn::Sub takes a mapping as its second argument")
            given = variables
        else:
            pattern = node
        if not isinstance(pattern, str):
            raise TemplateError(f"Fn::Sub takes a string, not {pattern!r}")

        def replacement(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            if name in given:
                return self._text(given[name], f"Fn::Sub ${{{name}}}")
            logical_id, dot, attribute = name.partition(".")
            found = self._names.attribute(logical_id, attribute) if dot else self._names.reference(name)
            return text(found, f"Fn::Sub ${{{name}}}")

        return _VARIABLE.sub(replacement, pattern)

    def _join(self, node: Json) -> _Value:
        delimiter, items = _arguments("Fn::Join", node, 2)
        if not isinstance(delimiter, str):
            raise TemplateError("Fn::Join takes no function as its delimiter")
        return delimiter.join(text(item, "Fn::Join") for item in self._list(items, "Fn::Join"))

    def _split(self, node: Json) -> _Value:
        delimiter, source = _arguments("Fn::Split", node, 2)
        if not isinstance(delimiter, str) or not delimiter:
            raise TemplateError("Fn::Split takes no function as its delimiter")
        return list(self._text(source, "Fn::Split").split(delimiter))

    def _select(self, node: Json) -> _Value:
        index, items = _arguments("Fn::Select", node, 2)
        position, choices = self._text(index, "Fn::Select"), self._list(items, "Fn::Select")
        if not position.isdecimal() or int(position) >= len(choices):
            raise TemplateError(f"Fn::Select: there is no entry {position} among {len(choices)}")
        return choices[int(position)]

    def _if(self, node: Json) -> _Value:
        name, then, otherwise = _arguments("Fn::If", node, 3)
        return self._evaluate(then if self._names.condition(text(name, "Fn::If")) else otherwise)

    def _find_in_map(self, node: Json) -> _Value:
        keys = [self._text(key, "Fn::FindInMap") for key in _arguments("Fn::FindInMap", node, 3)]
        return self._names.mapped(*keys)

    def _equals(self, node: Json) -> _Value:
        one, other = (self.value(operand) for operand in _arguments("Fn::Equals", node, 2))
        # A Number parameter is text to CloudFormation, and 0 in the template means the same as "0".
        return text(one, "Fn::Equals") == text(other, "Fn::Equals")

    def _contains(self, node: Json) -> _Value:
        choices, wanted = _arguments("Fn::Contains", node, 2)
        found = self._text(wanted, "Fn::Contains")
        return found in [text(choice, "Fn::Contains") for choice in self._list(choices, "Fn::Contains")]

    def _not(self, node: Json) -> _Value:
        (operand,) = _arguments("Fn::Not", node, 1)
        return not self.truth(operand)


def _arguments(function: str, node: Json, count: int) -> list[Json]:
    arguments = sequence(node, function)
    if len(arguments) != count:
        raise TemplateError(f"{function} takes {count} arguments, not {len(arguments)}")
    return arguments
