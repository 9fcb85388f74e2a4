"""How large the layer is that `sam build` makes, zipped as `sam package` zips it, and what each part takes.

A part is a top-level package with its metadata and shared libraries. The layer holds psycopg's libraries for
both processors; `one_processor_zip_mb` is the size with this machine's alone.
"""

from __future__ import annotations

import platform
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

from results import Result

from beacon_lab.awslambda.build import build
from beacon_lab.awslambda.python313 import BuildUnavailableError

_ROOT = Path(__file__).parents[1]
_MB = 1e6
#: Lambda's limits, in MB: a function with its layers unpacked. A zip beyond 50 cannot be uploaded directly.
_MOST_ZIP, _MOST_UNZIPPED = 50.0, 250.0
# ELF's own numbers for the processors, in bytes 18 and 19 of a file.
_MACHINES = {"x86_64": 62, "amd64": 62, "aarch64": 183, "arm64": 183}


def run(say: Callable[[str], None]) -> list[Result]:
    """Both sizes, or none if the functions' runtime is missing."""
    try:
        layer = build(_ROOT, _ROOT / ".lab").directories["BeaconLayer"]
    except BuildUnavailableError as error:
        say(f"skipped: {error}")
        return []
    files = sorted(path for path in layer.rglob("*") if path.is_file())
    own = _MACHINES[platform.machine().lower()]
    needed = [path for path in files if _machine(path) in {None, own}]
    unzipped: dict[str, object] = {}
    zipped: dict[str, object] = {}
    for part, members in sorted(_parts(layer, files).items()):
        unzipped[part] = _size_mb(members)
        zipped[part] = _zip_mb(layer, members)
        say(f"{part}: {unzipped[part]} MB, zipped {zipped[part]} MB")
    return [
        Result(
            "layer.zip_mb",
            _zip_mb(layer, files),
            "MB",
            1,
            _MOST_ZIP,
            {"one_processor_zip_mb": _zip_mb(layer, needed), **zipped},
        ),
        Result(
            "layer.unzipped_mb",
            _size_mb(files),
            "MB",
            1,
            _MOST_UNZIPPED,
            {"one_processor_mb": _size_mb(needed), "files": len(files), **unzipped},
        ),
    ]


def _parts(layer: Path, files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files by the package that they belong to."""
    parts: dict[str, list[Path]] = {}
    for path in files:
        top = path.relative_to(layer).parts[0]
        name = path.stem.partition(".")[0] if top == "__pycache__" else top
        name = name.removesuffix(".py").removesuffix(".libs")
        if name.endswith(".dist-info"):
            name = name.partition("-")[0]
        parts.setdefault(name, []).append(path)
    return parts


def _machine(path: Path) -> int | None:
    """Which processor a shared library is for, or ``None`` for any other file."""
    with path.open("rb") as opened:
        start = opened.read(20)
    return int.from_bytes(start[18:20], "little") if start.startswith(b"\x7fELF") else None


def _size_mb(files: Iterable[Path]) -> float:
    return round(sum(path.stat().st_size for path in files) / _MB, 2)


def _zip_mb(layer: Path, files: Iterable[Path]) -> float:
    with tempfile.TemporaryFile() as made:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in files:
                archive.write(path, f"python/{path.relative_to(layer)}")
        return round(made.tell() / _MB, 2)
