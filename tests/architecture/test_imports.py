"""What a module may import: the arrows between the folders, pure modules, and what each program loads.

Health, publisher and client never import one another. What is below never imports what is above. The client
loads no probe, no settings and no boto3 when it is imported. Pure modules import nothing of the outside."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests import import_lines
from tests.places import ROOT

import beacon

LIBRARY = ROOT / "layers/beacon/src/beacon"
PURE = [
    "model",
    "names",
    "outcome",
    "predict",
    "settings",
    "aws/sigv4",
    "dsql/token",
    "dsql/conninfo",
    "dsql/intent",
]
PURE += ["dsql/login_watch", "document/form", "document/reader", "health/verdict", "publisher/decide"]
PURE += ["publisher/rank", "publisher/changes", "client/arguments", "client/candidates"]
PURE_NAMES = {f"beacon.{path.replace('/', '.')}" for path in PURE}
OUTSIDE = {"boto3", "botocore", "psycopg", "socket", "ssl", "select", "time", "os", "threading", "subprocess"}
OUTSIDE |= {"random", "asyncio", "sys", "pathlib", "io", "logging", "urllib.request", "http"}


def imports_of(path: Path) -> set[str]:
    """Every module that ``path`` names in an import, at any level."""
    return import_lines.imports_of(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """The name by which the module at ``path`` is imported."""
    return ".".join(path.relative_to(LIBRARY.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in LIBRARY.rglob("*.py")}


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_of_the_outside(name: str) -> None:
    """No I/O, no clock, no randomness; and of Beacon only what is pure itself."""
    found = imports_of(LIBRARY / f"{name}.py")
    outside = {module for module in found if module in OUTSIDE or module.partition(".")[0] in OUTSIDE}
    assert outside == set()
    own = {module for module in found if module in MODULES} - {"beacon"}
    assert {module for module in own if not MODULES[module].name.startswith("__")} <= PURE_NAMES


#: What every folder of the library may import of the root.
DOMAIN = {"model", "names", "outcome", "suspend_clock"}
#: Folder, or module of the root -> what it may import of the library, itself apart. A lazy import and one for
#: types count as any other. Only the package itself names the client, for its public names.
ARROWS: dict[str, set[str]] = {
    "outcome": set(),
    "names": set(),
    "predict": set(),
    "suspend_clock": set(),
    "model": {"outcome"},
    "settings": {"model", "names"},
    "aws": DOMAIN,
    "dsql": {*DOMAIN, "settings", "aws"},
    "document": {*DOMAIN, "aws"},
    "health": {*DOMAIN, "settings", "aws", "dsql"},
    "publisher": {*DOMAIN, "settings", "aws", "dsql", "document"},
    "client": {*DOMAIN, "aws", "dsql", "document"},
    "__init__": {"client"},
}
#: The same for the lab. Its root stands on every folder; only the command line imports a scenario.
LAB = ROOT / "lab/src/beacon_lab"
SHARED = {"errors", "faults", "names"}
LAB_ARROWS: dict[str, set[str]] = {
    "processes": SHARED,
    "network": SHARED,
    "stack": SHARED,
    "route53": {*SHARED, "network"},
    "aws": {*SHARED, "network", "processes", "route53"},
    "awslambda": {*SHARED, "aws", "processes"},
    "apigateway": {*SHARED, "awslambda", "network", "stack"},
    "dsql": {*SHARED, "network", "processes", "route53"},
}
PARTS = set(LAB_ARROWS)


def place_of(module: str) -> str:
    """The folder of a module, or the module itself in a package's root: `beacon.dsql.probe` is in `dsql`."""
    return module.split(".")[1] if "." in module else "__init__"


def forbidden(path: Path, package: Path, arrows: dict[str, set[str]]) -> set[str]:
    """What the module at ``path`` imports of its own package against ``arrows``."""
    own = path.relative_to(package).parts[0].removesuffix(".py")
    allowed = arrows[own] | {own}
    reached = {name for name in imports_of(path) if name.partition(".")[0] == package.name}
    return {name for name in reached if place_of(name) not in allowed}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_no_module_imports_what_stands_above_or_beside_it(module: str) -> None:
    """Health, publisher and client are three programs; `aws`, `dsql` and `document` know none of them."""
    assert forbidden(MODULES[module], LIBRARY, ARROWS) == set()


@pytest.mark.parametrize("part", sorted(PARTS))
def test_no_part_of_the_lab_imports_the_lab_or_a_scenario(part: str) -> None:
    """A part plays one service of AWS; what puts the parts together is in the lab's root."""
    for path in (LAB / part).glob("*.py"):
        assert forbidden(path, LAB, LAB_ARROWS) == set(), path.name


def test_only_the_command_line_imports_a_scenario() -> None:
    """A lab runs without its demo."""
    roots = {path.stem for path in LAB.glob("*.py")}
    arrows = {name: roots | PARTS | ({"scenarios"} if name == "cli" else set()) for name in roots}
    for path in LAB.glob("*.py"):
        assert forbidden(path, LAB, arrows) == set(), path.name
    for path in (LAB / "scenarios").glob("*.py"):
        assert forbidden(path, LAB, {"scenarios": (roots - {"cli"}) | PARTS}) == set(), path.name


@pytest.mark.parametrize(
    ("inside", "line"),
    [
        ("health/check.py", "from beacon.publisher.round import Publisher"),
        ("health/check.py", "from beacon.client import race"),
        ("health/trigger.py", "from beacon.document.form import parse"),
        ("publisher/round.py", "import beacon.client.feed"),
        ("publisher/decide.py", "from beacon.health.verdict import judge"),
        ("client/pool.py", "from beacon.health.verdict import judge"),
        ("client/pool.py", "from beacon.settings import Settings"),
        ("client/dialer.py", "def later():\n    from beacon.publisher import round"),
        ("dsql/probe.py", "from beacon.health.check import HealthCheck"),
        ("document/store.py", "from beacon.dsql.probe import DsqlProbe"),
        ("aws/sigv4.py", "from beacon import dsql"),
        ("outcome.py", "from beacon.model import Document"),
        ("names.py", "from beacon import Endpoints"),
        ("dsql/session.py", "import beacon"),
    ],
)
def test_the_rules_find_an_import_that_is_forbidden(inside: str, line: str, tmp_path: Path) -> None:
    """Beside every import that the module has already."""
    package = tmp_path / "beacon"
    path = package / inside
    path.parent.mkdir(parents=True)
    path.write_text(f"{(LIBRARY / inside).read_text()}\n{line}\n")
    assert forbidden(path, package, ARROWS) != set()


def test_every_folder_has_its_rule() -> None:
    """A new folder is refused until its arrows are here and in docs/architecture.md."""
    assert {place_of(module) for module in MODULES} == set(ARROWS)
    assert {path.parent.name for path in LAB.glob("*/*.py")} == {*LAB_ARROWS, "scenarios"}


def test_the_arrows_lead_down() -> None:
    """There is an order in which each folder stands on earlier ones alone."""
    for arrows in (ARROWS, LAB_ARROWS | {name: set[str]() for name in SHARED}):
        placed: set[str] = set()
        while ready := {name for name, below in arrows.items() if name not in placed and below <= placed}:
            placed |= ready
        assert placed == set(arrows)


@pytest.mark.parametrize(("heading", "arrows"), [("The library", ARROWS), ("The lab", LAB_ARROWS)])
def test_the_map_shows_the_same_arrows(heading: str, arrows: dict[str, set[str]]) -> None:
    """The column `may import` of docs/architecture.md."""
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    text = page.split(f"### {heading}")[1].split("\n### ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", text, re.MULTILINE))
    folders = [name for name in arrows if name in rows]
    assert len(folders) > 5
    for folder in folders:
        shown = set(re.findall(r"`(\w+)`", rows[folder])) - {"root"}
        assert shown == arrows[folder] & set(folders), folder


def test_a_folder_s_own_file_runs_nothing() -> None:
    """A cold start pays for what it imports, and for no list of names beside it."""
    for path in LIBRARY.glob("*/__init__.py"):
        (only,) = ast.parse(path.read_text(encoding="utf-8")).body
        assert isinstance(only, ast.Expr), path


def test_a_pure_module_reads_no_clock() -> None:
    """``datetime.now`` needs no import of its own."""
    for name in PURE:
        text = (LIBRARY / f"{name}.py").read_text()
        assert not any(call in text for call in (".now(", "utcnow", "today(")), name


def test_the_health_handler_does_without_what_is_heavy() -> None:
    """Neither psycopg, an AWS client nor Powertools is loaded, at import or for an answer: all take time."""
    script = (
        "import sys, health_handler\n"
        "health_handler.handler({'httpMethod': 'GET'}, None)\n"
        "print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={
            "PYTHONPATH": f"{ROOT / 'functions/health'}:{LIBRARY.parent}",
            "AWS_REGION": "us-east-1",
            "AWS_LAMBDA_FUNCTION_NAME": "orders-prod-health",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "BEACON_APP": "orders",
            "BEACON_ENV": "prod",
            "BEACON_ENDPOINTS": "us-east-1=" + "a" * 26 + ".dsql.us-east-1.on.aws",
            "BEACON_DIAL": "a" * 26 + ".dsql.us-east-1.on.aws=127.0.0.1:1",
            "BEACON_DB_USER": "beacon_probe",
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    loaded = set(run.stderr.split())
    assert "beacon.health.check" in loaded
    libraries = ("boto3", "botocore", "aws_lambda_powertools", "aws_xray_sdk", "psycopg", "asyncio", "email")
    slow = (*libraries, "beacon.document", "beacon.publisher", "beacon.client")
    assert {name for name in loaded if name.startswith(slow) or name in {"http.client", "ssl"}} == set()


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after ``code``."""
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env={"PYTHONPATH": str(LIBRARY.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return set(run.stdout.split())


def heavy(modules: set[str]) -> set[str]:
    """What a program must not load that does not use it."""
    return {name for name in modules if name.partition(".")[0] in HEAVY}


HEAVY = {"psycopg", "psycopg_binary", "psycopg_pool", "boto3", "botocore", "dns", "asyncio"}


def test_importing_the_library_loads_nothing_of_what_it_can_do() -> None:
    """Neither libraries nor modules of its own: each comes with the first name of it."""
    loaded = loaded_by("import beacon")
    assert heavy(loaded) == set()
    assert {name for name in loaded if name.startswith("beacon")} == {"beacon"}


def test_sources_load_no_library_before_they_fetch() -> None:
    """A list needs neither boto3 nor dnspython, and a reader of the document alone needs no driver."""
    code = (
        "from beacon import DnsRecord, Endpoints, SsmDocument, StaticList\n"
        "document = SsmDocument('orders', 'prod', region='us-east-1')\n"
        "static = StaticList(['a' * 26 + '.dsql.us-east-1.on.aws'])\n"
        "assert len(Endpoints(document, DnsRecord('db.example.org'), static).published()) == 1\n"
    )
    loaded = loaded_by(code)
    assert "beacon.client.endpoints" in loaded
    assert heavy(loaded) == set()


def test_the_client_loads_no_probe_no_settings_and_no_client_of_aws() -> None:
    """Whatever a service imports of it; the two functions' own folders neither."""
    client = sorted(name for name in MODULES if name.startswith("beacon.client"))
    assert len(client) > 10
    loaded = loaded_by("import " + ", ".join(client))
    assert set(client) <= loaded
    strange = (
        "beacon.health",
        "beacon.publisher",
        "beacon.settings",
        "beacon.dsql.probe",
        "boto3",
        "botocore",
    )
    assert {name for name in loaded if name.startswith(strange)} == set()


def test_a_connection_loads_no_pool_and_no_client_of_aws() -> None:
    """psycopg_pool is for the pools alone, boto3 for the document, dnspython for a record."""
    found = {name.partition(".")[0] for name in heavy(loaded_by("from beacon import connect, transact"))}
    assert "psycopg" in found
    assert found <= {"psycopg", "psycopg_binary", "asyncio"}


@pytest.mark.parametrize("name", beacon.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    """In its own docstring, and named in the package's; and it is public where it comes from, too."""
    found = getattr(beacon, name)
    documented = inspect.getdoc(found)
    assert documented
    assert not documented.startswith(f"{name}("), "a dataclass made it up"
    assert re.search(rf"`{name}`", str(beacon.__doc__))
    assert name in sys.modules[found.__module__].__all__
    assert name in dir(beacon)


def test_what_is_not_public_is_missing_as_usual() -> None:
    """No name makes anything up, and each public one is imported from one place."""
    with pytest.raises(AttributeError, match="no attribute 'Connexion'"):
        beacon.Connexion  # noqa: B018 - asked for, not used
    named = [name for names in beacon._WHERE.values() for name in names]
    assert sorted(named) == sorted(beacon.__all__)


def test_no_part_of_the_library_knows_the_lab() -> None:
    """Dependencies point one way."""
    for path in [*LIBRARY.rglob("*.py"), *ROOT.glob("functions/*/*.py")]:
        assert not any(name.startswith(("beacon_lab", "beacon_ops")) for name in imports_of(path)), path


def test_a_pool_without_its_library_says_what_to_install() -> None:
    """As the other extras do."""
    script = (
        "import sys\nsys.modules['psycopg_pool'] = None\n"
        "try:\n    from beacon import Pool\nexcept ImportError as error:\n    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(LIBRARY.parent)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ran.stdout.strip() == "Pool needs psycopg_pool: install dsql-beacon[pool]"
