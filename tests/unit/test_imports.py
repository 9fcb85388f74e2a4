"""What a module may import: pure modules nothing of the outside, the health path nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "layers/beacon/src/beacon"
PURE = ["model", "decide", "rank", "changes", "document", "reader", "outcome", "health", "intent", "settings"]
PURE += ["sigv4", "token"]
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


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_of_the_outside(name: str) -> None:
    """No I/O, no clock, no randomness; and of Beacon only what is pure itself."""
    found = imports_of(LIBRARY / f"{name}.py")
    outside = {module for module in found if module in OUTSIDE or module.partition(".")[0] in OUTSIDE}
    assert outside == set()
    own = {module.split(".")[1] for module in found if module.startswith("beacon.")}
    assert own <= set(PURE)


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
    assert "beacon.health_check" in loaded
    libraries = ("boto3", "botocore", "aws_lambda_powertools", "aws_xray_sdk", "psycopg", "asyncio", "email")
    heavy = (*libraries, "beacon.store", "beacon.publisher")
    assert {name for name in loaded if name.startswith(heavy) or name in {"http.client", "ssl"}} == set()


def test_no_part_of_the_library_knows_the_lab() -> None:
    """Dependencies point one way."""
    for path in [*LIBRARY.glob("*.py"), *ROOT.glob("functions/*/*.py")]:
        assert not any(name.startswith(("beacon_lab", "beacon_ops")) for name in imports_of(path)), path
