"""What each run of `beacon` in these tests would import, for the process that they are forked from."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import boto3
import pytest

import beacon_cli
from beacon_cli.app import main

__all__ = ["run"]

for _found in pkgutil.walk_packages(beacon_cli.__path__, "beacon_cli."):
    import_module(_found.name)
#: The fork would import the program that started the tests.
_LOADED = (boto3, pytest)


def run(words: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
    """Be `beacon WORDS`, with its output in two files."""
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with path.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1 if stream is sys.stdout else 2)
    os.environ.clear()
    os.environ.update(environment)
    code = main(words)
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
