"""The arguments for `sam deploy` that change which stack is deployed, and with which values.

The guard must check exactly what `sam deploy` will do. So a profile and parameters in the arguments count as
they do for SAM. Arguments that name another stack are refused: they belong in a section of the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from beacon_cli.configuration.overrides import OverridesError, read_overrides
from beacon_cli.configuration.samconfig import ConfigurationError, Deployment

__all__ = ["with_arguments"]

_REFUSED = ("--region", "--stack-name", "--config-file", "--config-env", "--guided", "-g")
_TEMPLATE = ("--template-file", "--template", "-t")


def with_arguments(deployment: Deployment, arguments: Sequence[str]) -> Deployment:
    """``deployment`` as ``arguments`` change it; raise :class:`ConfigurationError` for a refused one."""
    for option, values in _options(arguments):
        if option in _REFUSED:
            raise ConfigurationError(
                f"{option} would deploy something else than {deployment.name}: give that a section of its own"
            )
        if option == "--profile":
            deployment = dataclasses.replace(deployment, profile=_one(option, values))
        elif option in _TEMPLATE:
            deployment = dataclasses.replace(deployment, template=Path(_one(option, values)))
        elif option == "--parameter-overrides":
            try:
                # They replace all overrides in the file.
                deployment = dataclasses.replace(deployment, parameters=read_overrides(values))
            except OverridesError as error:
                raise ConfigurationError(f"{option}: {error}") from error
    return deployment


def _options(arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each option with the values that follow it."""
    starts = [at for at, word in enumerate(arguments) if word.startswith("-")] + [len(arguments)]
    for start, end in pairwise(starts):
        option, equals, value = arguments[start].partition("=")
        yield option, [*([value] if equals else []), *arguments[start + 1 : end]]


def _one(option: str, values: Sequence[str]) -> str:
    if len(values) != 1:
        raise ConfigurationError(f"{option} takes one value")
    return values[0]
