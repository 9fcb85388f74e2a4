"""Whether a section can be deployed at all: it has no placeholder left, and `sam build` has made the code."""

from __future__ import annotations

from pathlib import Path

from beacon_cli.configuration.samconfig import ConfigurationError, Deployment
from scripts.stack import Declared, TemplateUnreadableError, read_declared

__all__ = ["require_ready", "template_of"]

#: The template that `sam deploy` uses if none is named. Any other would upload code without its libraries.
_BUILT = Path(".aws-sam/build/template.yaml")


def template_of(deployment: Deployment) -> Path:
    """The template that `sam deploy` uses."""
    return deployment.template or _BUILT


def require_ready(deployment: Deployment) -> dict[str, Declared]:
    """The parameters of the template that would be deployed; raise :class:`ConfigurationError`."""
    if left := deployment.placeholders:
        raise ConfigurationError(
            f"{deployment.name} still has REPLACE_ME in {', '.join(left)}: fill in the file first"
        )
    template = template_of(deployment)
    if not template.exists():
        repair = (
            "run `.venv/bin/sam build` first"
            if deployment.template is None
            else "start this from the checkout"
        )
        raise ConfigurationError(f"there is no {template} here: {repair}")
    try:
        declared = read_declared(template)
    except TemplateUnreadableError as error:
        raise ConfigurationError(str(error)) from error
    if unknown := sorted(deployment.parameters.keys() - declared.keys()):
        # CloudFormation would not report it: SAM drops a name that the template does not have.
        raise ConfigurationError(f"{', '.join(unknown)} of {deployment.name} is no parameter of {template}")
    return declared
