"""The client programs of the pages, aws and sam, run against the foreign engine in a directory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.foreign.seen import Cloud
from tools.foreign_engine.process import ROOT

_COPIED = ("template.yaml", "global.yaml", "dsql.yaml", "samconfig.toml")
_CODE = ("functions", "layers")
_RUN_S = 180.0


class Project:
    """A directory to deploy from: the templates, links to the code, and a samconfig.toml of its own."""

    def __init__(self, directory: Path, cloud: Cloud) -> None:
        self.directory = directory
        for name in _COPIED:
            (directory / name).write_bytes((ROOT / name).read_bytes())
        for name in _CODE:
            (directory / name).symlink_to(ROOT / name)
        home = directory / "home"
        home.mkdir()
        # As if it had just looked for a newer version of itself: it asks no package index.
        state = {"telemetryEnabled": False, "lastVersionCheck": time.time()}
        (home / "metadata.json").write_text(json.dumps(state), encoding="utf-8")
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
        self._environment = (
            kept
            | cloud.environment
            | {
                "HOME": str(home),
                "SAM_CLI_TELEMETRY": "0",
                "__SAM_CLI_APP_DIR": str(home),
                "SAM_CLI_POLL_DELAY": "0.2",
            }
        )

    def sam_deploy(self, section: str) -> subprocess.CompletedProcess[str]:
        """``sam deploy --config-env SECTION``, as on the pages."""
        return self._run("samcli", "deploy", "--config-env", section, "--no-confirm-changeset")

    def sam_delete(self, section: str) -> subprocess.CompletedProcess[str]:
        """``sam delete --config-env SECTION``, without its questions."""
        return self._run("samcli", "delete", "--config-env", section, "--no-prompts")

    def deploy(self, region: str, stack: str, template: str, values: Mapping[str, str]) -> str:
        """``aws cloudformation deploy``, as at the top of global.yaml; it has to pass. What it says."""
        done = self._run(
            *("awscli", "cloudformation", "deploy", "--region", region, "--stack-name", stack),
            *("--template-file", template, "--parameter-overrides"),
            *(f"{name}={value}" for name, value in values.items()),
            "--no-fail-on-empty-changeset",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def delete(self, region: str, stack: str) -> None:
        """``aws cloudformation delete-stack``, and wait for its end."""
        for verb in ("delete-stack", ("wait", "stack-delete-complete")):
            words = (verb,) if isinstance(verb, str) else verb
            done = self._run("awscli", "cloudformation", *words, "--region", region, "--stack-name", stack)
            assert done.returncode == 0, done.stdout + done.stderr

    def fill(self, section: str, values: Mapping[str, str | None]) -> None:
        """Write parameters into a section; None takes the line out, an empty value is written ``''``."""
        path = self.directory / "samconfig.toml"
        path.write_text(filled(path.read_text(encoding="utf-8"), section, values), encoding="utf-8")

    def parameters(self, section: str) -> dict[str, str]:
        """What the section of samconfig.toml says, without SAM's quotes."""
        text = _section(self.directory.joinpath("samconfig.toml").read_text(encoding="utf-8"), section)
        return {found[1]: found[2].strip("'\"") for found in _lines(text)}

    def _run(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_RUN_S,
            check=False,
        )


_LINE = re.compile(r'^    "(\w+)=(.*?)",.*\n', re.MULTILINE)


def _lines(text: str) -> Iterable[re.Match[str]]:
    return _LINE.finditer(text)


def _section(text: str, section: str) -> str:
    start = text.index(f"[{section}.deploy.parameters]")
    end = text.find("\n[", start)
    return text[start : end if end > 0 else len(text)]


def filled(text: str, section: str, values: Mapping[str, str | None]) -> str:
    """The file with the section's lines changed; every other character stays."""
    old = _section(text, section)
    new = old
    for name, value in values.items():
        written = "" if value is None else f'    "{name}={value or chr(39) * 2}",\n'
        line = re.compile(rf'^    "{name}=.*\n', re.MULTILINE)
        if line.search(new):
            new = line.sub(written, new)
        else:
            new = new.replace("\n]", f"\n{written}]".replace("\n\n", "\n"), 1)
    return text.replace(old, new)
