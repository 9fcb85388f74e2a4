"""Every value that CloudFormation would refuse for a template, found before `sam deploy` is started.

CloudFormation checks parameters and rules only after the upload, when it makes the change set. The lab's
stack has the same constraints and lists every problem at once, so this module uses it.
"""

from __future__ import annotations

from pathlib import Path

from beacon_cli.configuration.samconfig import ConfigurationError, Deployment
from beacon_lab.stack.document import Json, ParametersError, TemplateError, mapping
from beacon_lab.stack.parameters import settled
from beacon_lab.stack.resolve import TemplateResolver
from beacon_lab.stack.translate import read_template
from scripts.stack import Stored

__all__ = ["require_accepted"]


def require_accepted(template: Path, deployment: Deployment, stored: Stored | None) -> None:
    """Raise :class:`ConfigurationError` with each value and each combination that ``template`` refuses.

    The value of a NoEcho parameter is never in the text. If the stack keeps such a value, it cannot be read
    and is not checked.
    """
    try:
        document = read_template(template)
        previous = dict(stored.parameters) if stored and stored.exists else {}
        values = settled(document, deployment.parameters, previous)
        hidden = {name for name in previous.keys() - deployment.parameters.keys() if _secret(document, name)}
        TemplateResolver.create(
            _without_constraints(document, hidden),
            values,
            region=deployment.region,
            stack_name=deployment.stack_name,
        )
    except ParametersError as error:
        said = "".join(f"\n  {reason}" for reason in error.reasons)
        raise ConfigurationError(
            f"{deployment.name}: {template} does not accept these values:{said}"
        ) from error
    except TemplateError as error:
        raise ConfigurationError(f"{template} cannot be evaluated: {error}") from error


def _secret(document: dict[str, Json], name: str) -> bool:
    node = mapping(document["Parameters"], "Parameters").get(name)
    return isinstance(node, dict) and str(node.get("NoEcho", "")).lower() == "true"


def _without_constraints(document: dict[str, Json], names: set[str]) -> dict[str, Json]:
    """The template in which the parameters ``names`` accept any text: their values are asterisks here."""
    free: dict[str, Json] = {name: {"Type": "String"} for name in names}
    return {**document, "Parameters": {**mapping(document["Parameters"], "Parameters"), **free}}
