"""What `sam build` makes of the template: bytecode for all, both processors, nothing of Lambda's own."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.places import ROOT

from beacon_lab.awslambda.build import Built, build
from beacon_lab.awslambda.python313 import BuildUnavailableError, find_python313
from beacon_lab.awslambda.runtime import locked_requirements

UNCHECKED_HASH = 0b01  # the flags word of a .pyc (PEP 552): by hash, and never compared with the source


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One build for all tests; without Python 3.13 they are skipped."""
    try:
        find_python313(os.environ)
    except BuildUnavailableError as error:
        pytest.skip(str(error))
    return build(ROOT, tmp_path_factory.mktemp("built"))


def run(built: Built, code: str, *options: str, argument: str = "") -> str:
    """What a fresh interpreter of the functions' runtime prints, with the layer as Lambda puts it."""
    path = os.pathsep.join(str(built.directories[name]) for name in ("HealthFunction", "BeaconLayer"))
    environment = {"PATH": os.defpath, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [built.python, *options, "-c", code, argument],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_the_layer_ships_with_bytecode(built: Built) -> None:
    """Lambda can write none, and a kind that looks at the source's time would be stale in the archive."""
    layer = built.directories["BeaconLayer"]
    modules = list(layer.rglob("*.py"))
    assert len(modules) > 300
    for module in modules:
        compiled = module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc"
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == UNCHECKED_HASH, module
    assert len(list(layer.rglob("*.pyc"))) == len(modules)


def test_the_bytecode_is_what_runs(built: Built, tmp_path: Path) -> None:
    """Whatever the archive does to the sources' times: here every source has become a failure."""
    copy = shutil.copytree(built.directories["BeaconLayer"] / "beacon", tmp_path / "beacon")
    for module in copy.rglob("*.py"):
        module.write_text("raise ImportError('compiled again')", encoding="utf-8")
    code = "import sys; sys.path.insert(0, sys.argv[1]); import beacon.settings as it; print(it.__file__)"
    assert run(built, code, argument=str(tmp_path)).strip() == str(copy / "settings.py")


def test_the_layer_brings_what_the_functions_import_and_not_what_lambda_has(built: Built) -> None:
    """With nothing but the layer: psycopg's own libpq works and there is no boto3."""
    names = {path.name.partition("-")[0] for path in built.directories["BeaconLayer"].glob("*.dist-info")}
    assert {"psycopg", "psycopg_binary", "aws_lambda_powertools"} <= names
    assert not names & {"boto3", "botocore", "s3transfer", "pip"}
    assert run(built, "import psycopg; print(psycopg.pq.__impl__)", "-S").strip() == "binary"


def test_the_health_path_takes_the_layers_libpq_without_psycopg(built: Built) -> None:
    """Out of the two that are there the one for this processor, new enough to save a round trip of TLS."""
    code = "import sys, beacon.dsql.libpq as it; print(it.VERSION >= 170000, 'psycopg' in sys.modules)"
    assert run(built, code, "-S").split() == ["True", "False"]


def test_the_layer_serves_both_processors(built: Built) -> None:
    """Whatever Architecture a stack has: each library is there twice, under two names."""
    libraries = {path.name for path in (built.directories["BeaconLayer"] / "psycopg_binary").glob("*.so")}
    arm64 = {name for name in libraries if "aarch64" in name}
    x86_64 = {name for name in libraries if "x86_64" in name}
    assert arm64 | x86_64 == libraries
    assert len(arm64) == len(x86_64) > 0
    assert {name.replace("aarch64", "x86_64") for name in arm64} == x86_64


def test_the_layer_is_what_stands_in_the_working_tree(built: Built) -> None:
    """Every module of the library, byte for byte."""
    source, layer = ROOT / "layers" / "beacon" / "src" / "beacon", built.directories["BeaconLayer"] / "beacon"
    expected = {path.relative_to(source): path.read_bytes() for path in source.rglob("*.py")}
    assert {path.relative_to(layer): path.read_bytes() for path in layer.rglob("*.py")} == expected
    assert (layer / "py.typed").exists()


@pytest.mark.parametrize("function", ["HealthFunction", "PublisherFunction"])
def test_a_function_ships_its_handler_alone(built: Built, function: str) -> None:
    """What both need is in the layer."""
    assert [path.suffix for path in built.directories[function].iterdir()] == [".py"]


def test_the_runtime_has_what_aws_provides_as_locked(built: Built) -> None:
    """boto3 and the runtime interface client, at the versions of uv.lock."""
    pins = dict(
        line.split()[0].split("==")
        for line in locked_requirements(ROOT / "uv.lock", ["awslambdaric", "boto3"]).splitlines()
    )
    found = run(
        built, "from importlib.metadata import version as v; print(v('awslambdaric'), v('boto3'))"
    ).split()
    assert found == [pins["awslambdaric"], pins["boto3"]]


def test_a_second_build_of_the_same_sources_builds_nothing(built: Built) -> None:
    """The earlier files stay as they are, and the same directories are given."""
    cache = built.template.parents[1]
    before = built.template.stat().st_mtime_ns
    assert build(ROOT, cache) == built
    assert built.template.stat().st_mtime_ns == before


@pytest.fixture
def fake_python(tmp_path: Path) -> Iterator[Path]:
    """A directory with a `python3.13` that answers as a version manager's shim without that version."""
    shim = tmp_path / "shims" / "python3.13"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n", encoding="utf-8")
    shim.chmod(0o755)
    yield shim
    shim.unlink()


def test_without_python_3_13_one_sentence_says_so(fake_python: Path, tmp_path: Path) -> None:
    """A shim that runs nothing is passed over."""
    with pytest.raises(BuildUnavailableError) as missing:
        find_python313({"PATH": str(fake_python.parent), "HOME": str(tmp_path)})
    assert "needs Python 3.13" in str(missing.value)
    assert "BEACON_PYTHON313" in str(missing.value)


def test_a_named_python_that_is_none_is_refused_and_not_passed_over(fake_python: Path) -> None:
    """A named interpreter is the one that is used."""
    with pytest.raises(BuildUnavailableError, match="BEACON_PYTHON313 is "):
        find_python313({**os.environ, "BEACON_PYTHON313": str(fake_python)})


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("PATH", ""),
        ("PYENV_ROOT", "versions/3.13.9/bin"),
        ("UV_PYTHON_INSTALL_DIR", "cpython-3.13.9-linux/bin"),
    ],
)
def test_a_python_3_13_is_found_where_people_keep_it(tmp_path: Path, variable: str, place: str) -> None:
    """On PATH, under pyenv, under uv; what it says about itself is the answer."""
    directory = tmp_path / place
    directory.mkdir(parents=True, exist_ok=True)
    python = directory / "python3.13"
    python.write_text("#!/bin/sh\necho /real/python3.13\n", encoding="utf-8")
    python.chmod(0o755)
    assert find_python313({variable: str(tmp_path)}) == Path("/real/python3.13")
