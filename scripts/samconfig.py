"""Which Regions a samconfig.toml deploys, and what the deployment in each is called."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ConfigurationError", "Deployment", "read_deployments"]

# The defaults of App and Env in template.yaml.
_APP, _ENV = "beacon", "prod"


class ConfigurationError(Exception):
    """The file does not say what is needed; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One section: the name that ``--config-env`` takes, its Region, and its service, ``{App}-{Env}``."""

    name: str
    region: str
    service: str


def read_deployments(path: Path) -> dict[str, Deployment]:
    """The deployments by Region; raise :class:`ConfigurationError`."""
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    found: dict[str, Deployment] = {}
    for name, section in sections.items():
        deploy = _table(section, "deploy", "parameters")
        region = deploy.get("region") or _table(section, "global", "parameters").get("region")
        if not isinstance(region, str):
            continue
        if region in found:
            raise ConfigurationError(f"{path} deploys {region} twice: {found[region].name} and {name}")
        shared = _overrides(_table(section, "global", "parameters").get("parameter_overrides"))
        given = shared | _overrides(deploy.get("parameter_overrides"))
        if "ParameterKey" in given:
            # Read wrongly, it would name another deployment, which has no Region that could refuse.
            raise ConfigurationError(f"{path}: write parameter overrides of {name} as NAME=VALUE")
        found[region] = Deployment(name, region, f"{given.get('App', _APP)}-{given.get('Env', _ENV)}")
    return found


def _table(section: object, *names: str) -> Mapping[str, object]:
    for name in names:
        section = section.get(name) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}


def _overrides(value: object) -> dict[str, str]:
    """Parameter overrides, which the file holds as one string or as a list of them."""
    words = shlex.split(value) if isinstance(value, str) else value
    pairs = [str(word).partition("=") for word in words] if isinstance(words, list) else []
    return {name: text for name, equals, text in pairs if equals}
