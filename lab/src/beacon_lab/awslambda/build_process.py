"""Runs :mod:`beacon_lab.awslambda.build` in a process of its own, so that a build ends with the lab.

The process leaves what it made, or the sentence that says why it could not, in a file.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from beacon_lab.awslambda.build import Built, build
from beacon_lab.awslambda.python313 import BuildUnavailableError
from beacon_lab.errors import LabError
from beacon_lab.processes.children import Processes

__all__ = ["build_apart", "main"]


async def build_apart(processes: Processes, root: Path, cache: Path, directory: Path) -> Built:
    """See :func:`.build`; raise :class:`LabError`. ``directory`` gets log and result."""
    result, log = directory / "built.json", directory / "build.log"
    argv = [sys.executable, "-m", "beacon_lab.awslambda.build_process", str(root), str(cache), str(result)]
    # What pip was unpacking when the lab ended goes away with the lab's directory.
    temporary = directory / "build"
    temporary.mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(temporary)}
    child = await processes.spawn("sam build", argv, env=environment, log=log)
    status = await child.wait()
    if not result.is_file():
        last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        raise LabError(f"`sam build` ended with {status} and no result: {' '.join(last)}")
    found = json.loads(result.read_text(encoding="utf-8"))
    if "problem" in found:
        raise LabError(found["problem"])
    directories = {name: Path(path) for name, path in found["directories"].items()}
    return Built(Path(found["python"]), directories, Path(found["template"]))


def main(root: Path, cache: Path, result: Path) -> None:
    """Build, and write the result, or the reason for having none, to a file."""
    found: dict[str, object]
    try:
        built = build(root, cache)
        found = {
            "python": str(built.python),
            "directories": {name: str(path) for name, path in built.directories.items()},
            "template": str(built.template),
        }
    except BuildUnavailableError as error:
        found = {"problem": str(error)}
    new = result.with_suffix(".new")
    new.write_text(json.dumps(found), encoding="utf-8")
    new.replace(result)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
