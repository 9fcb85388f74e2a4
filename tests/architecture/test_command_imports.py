"""The arrows of the operator's command: what it may import, and that neither layer nor lab imports it."""

import re
import subprocess
import sys

import pytest
from tests.import_lines import OUTSIDE, imports_of
from tests.places import ROOT

CLI = ROOT / "cli/src/beacon_cli"
MODULES = sorted(str(path.relative_to(CLI).with_suffix("")) for path in CLI.rglob("*.py"))
PURE = ["errors", "fleet", "standing", "configuration/overrides"]
PURE += [f"situation/{path.stem}" for path in sorted((CLI / "situation").glob("[a-z]*.py"))]
PURE += [f"intents/{name}" for name in ("consequences", "duration", "movement", "rules")]
PURE += ["timeline/events", "timeline/form"]
PURE += [f"schema/{name}" for name in ("form", "found", "state", "statements", "telling", "wanted")]
_DRILL = (
    "consumed",
    "expected",
    "form",
    "junit",
    "kinds",
    "page",
    "picture",
    "readiness",
    "report",
    "strangers",
)
PURE += [f"drill/{name}" for name in (*_DRILL, "tracks", "verdict")]
PURE += [f"doctor/{name}" for name in ("examine", "facts", "form", "result")]
PURE += [f"doctor/checks/{path.stem}" for path in sorted((CLI / "doctor/checks").glob("[a-z]*.py"))]
PURE += [f"proxy/{name}" for name in ("metrics", "traffic", "wire")]
PURE_NAMES = {f"beacon_cli.{name.replace('/', '.')}" for name in PURE}
#: Of the library: what services use, what the domain talks about, and how a document is read.
LIBRARY = (
    "beacon.model",
    "beacon.names",
    "beacon.outcome",
    "beacon.predict",
    "beacon.document",
    "beacon.aws",
)
#: The proxy is a client of its own: it uses the parts of which the library's connections are made.
PROXY = (*LIBRARY, "beacon.client", "beacon.dsql.login", "beacon.dsql.token")


OWN = {f"beacon_cli.{name.removesuffix('/__init__').replace('/', '.')}" for name in MODULES}
FOLDERS = {
    f"beacon_cli.{str(path.parent.relative_to(CLI)).replace('/', '.')}" for path in CLI.rglob("*/__init__.py")
}


def impure(text: str) -> set[str]:
    """What a module with this text imports that a pure one may not."""
    found = imports_of(text)
    outside = {module for module in found if module.partition(".")[0] in {*OUTSIDE, "rich", "cyclopts"}}
    return outside | ((found & OWN) - FOLDERS - PURE_NAMES)


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_of_the_command_imports_nothing_of_the_outside(name: str) -> None:
    """No I/O, no clock and no other module of the command that has any."""
    text = (CLI / f"{name}.py").read_text(encoding="utf-8")
    assert impure(text) == set()
    assert not any(call in text for call in (".now(", "utcnow", "today("))


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "from boto3 import client",
        "import beacon_cli.sessions",
        "from beacon_cli import screen",
        "from beacon_cli.readers.record import OWN",
        "def later():\n    import socket",
    ],
)
def test_the_rule_finds_an_import_that_is_forbidden(line: str) -> None:
    """Wherever it stands."""
    assert impure(f"from beacon_cli.situation.model import known\n{line}\n") != set()


@pytest.mark.parametrize("name", MODULES)
def test_the_command_imports_the_library_and_neither_the_lab_nor_a_script(name: str) -> None:
    """Of the library neither function: what they decide is read, not made again."""
    found = imports_of((CLI / f"{name}.py").read_text(encoding="utf-8"))
    assert {module for module in found if module.split(".")[0] in {"beacon_lab", "scripts", "tests"}} == set()
    library = {module for module in found if module.startswith("beacon.")}
    public = {module for module in library if module.count(".") == 1 and module.split(".")[1][0].isupper()}
    named = {"beacon.connect", "beacon.transact", *public}
    allowed = PROXY if name.startswith("proxy/") else LIBRARY
    assert {module for module in library - named if not module.startswith(allowed)} == set()


def test_no_part_of_the_layer_or_the_lab_knows_the_command() -> None:
    """So it can never get into the layer, and a lab needs no command."""
    paths = [*ROOT.glob("layers/**/*.py"), *ROOT.glob("functions/**/*.py"), *ROOT.glob("lab/**/*.py")]
    assert len(paths) > 100
    for path in paths:
        found = imports_of(path.read_text(encoding="utf-8"))
        assert not {name for name in found if name.startswith("beacon_cli")}, path


def test_no_requirement_of_the_layer_names_the_command() -> None:
    """The layer installs what this file says."""
    text = (ROOT / "layers/beacon/src/requirements.txt").read_text(encoding="utf-8")
    assert "psycopg" in text
    assert "cyclopts" not in text
    assert "beacon-cli" not in text


def test_help_and_wrong_use_cost_no_client_of_aws_and_no_driver() -> None:
    """They are half of what an operator waits for."""
    code = (
        "import sys\nfrom beacon_cli.app import main\n"
        "for words in (['--help'], ['status', '--help'], ['stauts']):\n    main(words)\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(ran.stderr.split())
    assert "cyclopts" in loaded
    assert not {"boto3", "botocore", "psycopg", "dns"} & loaded


def test_no_module_of_the_command_imports_a_command() -> None:
    """A command parses, calls and prints; what two of them need has a module of its own."""
    for name in MODULES:
        found = imports_of((CLI / f"{name}.py").read_text(encoding="utf-8"))
        assert not {module for module in found if module.startswith("beacon_cli.commands")}, name


def test_a_reader_imports_no_screen() -> None:
    """It returns a fact, and does not know who asks."""
    for name in MODULES:
        if name.startswith("readers/"):
            above = ("beacon_cli.app", "beacon_cli.screen", "beacon_cli.looking", "rich", "cyclopts")
            assert not {
                module
                for module in imports_of((CLI / f"{name}.py").read_text(encoding="utf-8"))
                if module.startswith(above)
            }, name


def test_the_map_names_every_folder_of_the_command() -> None:
    """docs/architecture.md, with the file to open first."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    text = page.split("### The operator's command")[1].split("\n### ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| `(\w+\.py)` \|$", text, re.MULTILINE))
    assert set(rows) == {path.parent.name for path in CLI.glob("*/__init__.py")}
    assert all((CLI / folder / file).exists() for folder, file in rows.items())
