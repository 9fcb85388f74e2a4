"""What a samconfig.toml deploys: each Region's stack, and the one of global.yaml for all of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beacon_cli.configuration.overrides import OverridesError, read_overrides

__all__ = ["GLOBAL", "ConfigurationError", "Deployment", "read_deployments"]

#: The key of the deployment of global.yaml, beside those of the Regions.
GLOBAL = "global"

# The defaults of App and Env in the templates.
_APP, _ENV = "beacon", "prod"
_PLACEHOLDER = "REPLACE_ME"


class ConfigurationError(Exception):
    """The file does not say what is needed; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One section of the file, with what the arguments for `sam deploy` change about it."""

    name: str
    """What ``--config-env`` takes."""
    region: str
    stack_name: str
    profile: str | None
    template: Path | None
    """The template that the section names; without one `sam deploy` takes what `sam build` made."""
    parameters: Mapping[str, str]

    @property
    def service(self) -> str:
        """The deployment's name, ``{App}-{Env}``."""
        return f"{self.parameters.get('App', _APP)}-{self.parameters.get('Env', _ENV)}"

    @property
    def is_global(self) -> bool:
        """Whether this is the stack for all Regions."""
        return self.template is not None and self.template.name == "global.yaml"

    @property
    def placeholders(self) -> list[str]:
        """The parameters that still have the example's value."""
        return [name for name, value in self.parameters.items() if _PLACEHOLDER in value]


def read_deployments(path: Path) -> dict[str, Deployment]:
    """The deployments by Region, and :data:`GLOBAL` if there is one; raise :class:`ConfigurationError`."""
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    found: dict[str, Deployment] = {}
    for name, section in sections.items():
        # As SAM does: a key of the command replaces the one for all commands, overrides included.
        settings = {**_table(section, "global"), **_table(section, "deploy")}
        region = settings.get("region")
        if not isinstance(region, str):
            continue
        deployment = _deployment(path, name, region, settings)
        key = GLOBAL if deployment.is_global else region
        if key in found:
            raise ConfigurationError(f"{path} deploys {key} twice: {found[key].name} and {name}")
        found[key] = deployment
    return found


def _deployment(path: Path, name: str, region: str, settings: Mapping[str, object]) -> Deployment:
    texts = {key: settings.get(key) for key in ("stack_name", "profile", "template_file")}
    for key, value in texts.items():
        if not isinstance(value, str | None):
            raise ConfigurationError(f"{path}: {key} of {name} must be a string, not {value!r}")
    stack_name, profile, template = texts.values()
    if not isinstance(stack_name, str):
        raise ConfigurationError(f"{path}: {name} has no stack_name")
    overrides = settings.get("parameter_overrides")
    try:
        given = {} if overrides is None else read_overrides(overrides)
    except OverridesError as error:
        raise ConfigurationError(f"{path}, {name}: {error}") from error
    return Deployment(
        name=name,
        region=region,
        stack_name=stack_name,
        profile=str(profile) if profile else None,
        template=Path(str(template)) if template else None,
        parameters=given,
    )


def _table(section: object, command: str) -> Mapping[str, object]:
    for name in (command, "parameters"):
        section = section.get(name) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}
