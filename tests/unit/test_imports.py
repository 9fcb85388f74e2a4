"""What a module may import: pure modules nothing of the outside, the health path nothing heavy."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import beacon

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "layers/beacon/src/beacon"
PURE = ["model", "names", "outcome", "settings", "aws/sigv4", "dsql/token", "dsql/conninfo", "dsql/intent"]
PURE += ["dsql/login_watch", "document/form", "document/reader", "health/verdict", "publisher/decide"]
PURE += ["publisher/rank", "publisher/changes", "client/candidates"]
PURE_NAMES = {f"beacon.{path.replace('/', '.')}" for path in PURE}
OUTSIDE = {"boto3", "botocore", "psycopg", "socket", "ssl", "select", "time", "os", "threading", "subprocess"}
OUTSIDE |= {"random", "asyncio", "sys", "pathlib", "io", "logging", "urllib.request", "http"}


def imports_of(path: Path) -> set[str]:
    """Every module that ``path`` names in an import, at any level."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            found |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


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
    """What nobody should pay for who does not use it."""
    return {name for name in modules if name.partition(".")[0] in HEAVY}


HEAVY = {"psycopg", "psycopg_binary", "psycopg_pool", "boto3", "botocore", "dns", "asyncio"}


def test_importing_the_library_loads_nothing_of_what_it_can_do() -> None:
    """Neither libraries nor modules of its own: each comes with the first name of it."""
    loaded = loaded_by("import beacon")
    assert heavy(loaded) == set()
    assert {name for name in loaded if name.startswith("beacon")} == {"beacon"}


def test_sources_load_no_library_before_they_fetch() -> None:
    """A list needs neither boto3 nor dnspython, and whoever reads the document alone no driver."""
    code = (
        "from beacon import DnsRecord, Endpoints, SsmDocument, StaticList\n"
        "document = SsmDocument('orders', 'prod', region='us-east-1')\n"
        "static = StaticList(['a' * 26 + '.dsql.us-east-1.on.aws'])\n"
        "assert len(Endpoints(document, DnsRecord('db.example.org'), static).published()) == 1\n"
    )
    loaded = loaded_by(code)
    assert "beacon.client.endpoints" in loaded
    assert heavy(loaded) == set()


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
