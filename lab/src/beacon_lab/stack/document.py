"""The shape of templates as data, and the two errors that reading one can raise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from beacon_lab.errors import LabError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class TemplateError(Exception):
    """The template itself is wrong, or asks for something that the lab does not know; names the place."""


class ParametersError(LabError):
    """Parameters that the template does not accept; ``reasons`` holds a sentence for each of them."""

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{len(self.reasons)} parameter(s) cannot be used: " + "; ".join(self.reasons))


def mapping(node: Json, where: str) -> dict[str, Json]:
    """``node``, which has to be a mapping; raises TemplateError naming ``where``."""
    if not isinstance(node, dict):
        raise TemplateError(f"{where}: a mapping is wanted, not {node!r}")
    return node


def sequence(node: Json, where: str) -> list[Json]:
    """``node``, which has to be a list; raises TemplateError naming ``where``."""
    if not isinstance(node, list):
        raise TemplateError(f"{where}: a list is wanted, not {node!r}")
    return node


def text(node: Json, where: str) -> str:
    """``node``, a scalar, as text in CloudFormation's spelling; raises TemplateError naming ``where``."""
    if isinstance(node, bool):
        return "true" if node else "false"
    if isinstance(node, (str, int, float)):
        return str(node)
    raise TemplateError(f"{where}: a single value is wanted, not {node!r}")
