"""The wheel that services install: what is in it, and that it works without the project around it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from tests.places import ROOT

UV = ROOT / ".cache" / "uv" / "bin" / "uv"
SMOKE = """
import sys
import beacon
assert not {"psycopg", "psycopg_pool", "boto3", "botocore", "dns"} & set(sys.modules), sorted(sys.modules)
for name in beacon.__all__:
    assert getattr(beacon, name).__doc__, name
host = "a" * 26 + ".dsql.us-east-1.on.aws"
endpoints = beacon.Endpoints(beacon.StaticList([host]), dial={host: ("127.0.0.1", 1)})
try:
    beacon.connect(endpoints, user="my_role", ca_file="/dev/null", timeout_s=1)
except beacon.ConnectError as error:
    print(error.attempts[0].region, error.attempts[0].reason)
print(beacon.__file__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the package's own folder."""
    if not UV.exists():
        pytest.skip("uv is not in .cache/uv: `make setup` puts it there")
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [UV, "build", "--quiet", "--wheel", "--out-dir", place, "--python", sys.executable, "layers/beacon"],
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    (found,) = place.glob("*.whl")
    return found


def test_the_wheel_holds_the_library_its_types_and_nothing_else(wheel: Path) -> None:
    """No lab, no tests, no build file of the layer; and the names by which extras are installed."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = Parser().parsestr(
            archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
        )
    assert "beacon/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"beacon"}
    library = ROOT / "layers/beacon/src"
    sources = {str(path.relative_to(library)) for path in library.rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == sources
    assert metadata["Name"] == "dsql-beacon"
    assert set(metadata.get_all("Provides-Extra") or ()) == {"dns", "pool", "publisher", "ssm"}
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_wheel_works_on_its_own(wheel: Path, tmp_path: Path) -> None:
    """Its names are found one by one, a connect is tried, and nothing is loaded before it is wanted."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "lib")
    ran = subprocess.run(
        [sys.executable, "-c", SMOKE],
        cwd=tmp_path,
        env={
            "PYTHONPATH": str(tmp_path / "lib"),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said, where = ran.stdout.split("\n")[:2]
    assert said == "us-east-1 refused"
    assert Path(where).is_relative_to(tmp_path)
