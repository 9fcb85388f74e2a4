"""The samconfig.toml that one step deploys with: the user's file, with a few values in place of others.

It stands in a directory that only the user can read, because it holds the path token. So no secret is in a
command line.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from beacon_cli.configuration.samconfig import read_deployments
from beacon_cli.deployment.example import quoted

__all__ = ["changed_text", "sam_file"]


@contextlib.contextmanager
def sam_file(path: Path, key: str, changes: Mapping[str, str], template: str = "") -> Iterator[Path]:
    """A copy of ``path`` in which the section of ``key`` has ``changes``; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="beacon-deploy-") as place:
        copy = Path(place) / path.name
        copy.touch(mode=0o600)
        copy.write_text(changed_text(path, key, changes, template), encoding="utf-8")
        yield copy


def changed_text(path: Path, key: str, changes: Mapping[str, str], template: str = "") -> str:
    """The text of ``path`` with ``changes`` in the parameters of ``key``, a Region or `global`.

    No step asks: the user has asked for all of them. ``template`` is deployed in place of what `sam build`
    makes.
    """
    deployment = read_deployments(path)[key]
    document: Any = tomlkit.parse(path.read_text(encoding="utf-8"))
    section = document[deployment.name]
    own = section.setdefault("deploy", tomlkit.table()).setdefault("parameters", tomlkit.table())
    values = {**deployment.parameters, **changes}
    own["parameter_overrides"] = [f"{name}={quoted(value)}" for name, value in values.items()]
    own["confirm_changeset"] = False
    own["fail_on_empty_changeset"] = False
    if template:
        own["template_file"] = template
    return tomlkit.dumps(document)
