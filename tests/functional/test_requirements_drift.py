"""layers/beacon/src/requirements.txt is what uv.lock says."""

import re
import subprocess
import tomllib

import pytest
from tests.places import ROOT

UV = ROOT / ".cache" / "uv" / "bin" / "uv"
REQUIREMENTS = ROOT / "layers" / "beacon" / "src" / "requirements.txt"


def test_the_requirements_are_what_make_lock_exports() -> None:
    """The command is read from the Makefile, so that the two cannot drift apart either."""
    if not UV.exists():
        pytest.skip("uv is not in .cache/uv: `make setup` puts it there")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    recipe = re.search(r"^\t\$\(UV\) (export .*?)--output-file (\S+)$", makefile, re.MULTILINE)
    assert recipe is not None
    assert ROOT / recipe[2] == REQUIREMENTS
    exported = subprocess.run(
        [UV, *recipe[1].split(), "--offline"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert exported.stdout == REQUIREMENTS.read_text(encoding="utf-8")


def test_each_requirement_is_pinned_as_locked_and_hashed() -> None:
    """Holds without uv too: a version that the lock does not know cannot be built."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    locked = {(package["name"], package["version"]) for package in lock["package"]}
    blocks = re.split(r"\n(?=\S)", REQUIREMENTS.read_text(encoding="utf-8").strip())
    for block in blocks:
        pin = re.match(r"([a-z0-9-]+)==([^ ;\\]+)", block)
        assert pin is not None, block
        assert (pin[1], pin[2]) in locked
        assert "--hash=sha256:" in block


def test_the_layer_does_not_bring_what_lambda_has() -> None:
    """boto3 alone is larger than all the rest, and comes with the runtime."""
    names = re.findall(r"^([a-z0-9-]+)==", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
    assert not {"boto3", "botocore", "s3transfer"} & set(names)
    assert {"psycopg", "psycopg-binary"} <= set(names)
