"""The real command line as a user meets it: `beacon-lab` as a process, and the clients that a user has.

Every lab gets a home of its own, a short directory that holds its TMPDIR, its state directory and its ready
file. A lab's processes are known by their descent and by that path, not by a program's name.
"""

import contextlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import dns.message
import dns.query
import dns.rdatatype
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.places import ROOT

from beacon_lab import control
from beacon_lab.processes.process_table import ProcessIdentity, descendants, snapshot

BIN = Path(sys.executable).parent
COMMAND = str(BIN / "beacon-lab")
FIRST, SECOND = "us-east-1", "us-east-2"
#: A lab's start, cold starts of eight sandboxes included, on a machine that is busy with other things.
UP_WITHIN_S = 120.0
#: A change at --speed 10: checkers need at most 9 s, publishers 26 s (the hold included).
CHANGE_WITHIN_S = 60.0
T = TypeVar("T")
#: Becomes the program that follows, which the kernel ends with SIGTERM should the test run be killed.
BOUND = (
    "import os, sys\n"
    "from beacon_lab.processes.parent import end_with_parent\n"
    "end_with_parent()\n"
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)


def until(what: str, look: Callable[[], T | None], within_s: float = CHANGE_WITHIN_S) -> T:
    """Look again and again until there is something true; fail with ``what`` after ``within_s``."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, (
            f"not within {within_s:.0f} s: {what}; the last look gave {found!r}"
        )
        time.sleep(0.1)


def client_program(name: str, package: str) -> str:
    """The path of a client program; the test is skipped where the machine has none."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed on this machine: install {package} to run this test")
    return found


@dataclass(frozen=True)
class Answer:
    """What a GET of `/health` gave: ``status`` 0 where no server took the connection."""

    status: int
    body: bytes
    took_s: float

    @property
    def output(self) -> object:
        """The reason code of the check in the body."""
        return next(iter(json.loads(self.body)["checks"].values()))[0]["output"]


@dataclass
class LabProcess:
    """A `beacon-lab` that runs, in a home of its own; ``ready`` is filled once it is up."""

    popen: subprocess.Popen[str]
    home: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def state_dir(self) -> Path:
        return self.home / "state"

    @property
    def ready_file(self) -> Path:
        return self.home / "ready.json"

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return (self.home / "log").read_text(encoding="utf-8")

    @property
    def own_directory(self) -> Path:
        """The lab's temporary directory."""
        return next((self.home / "tmp").glob("beacon-lab-*"))

    def await_line(self, text: str, within_s: float = UP_WITHIN_S) -> None:
        """Wait until it has printed ``text``."""
        until(f"{text!r} in the output", lambda: text in self._log_while_alive(), within_s)

    def await_ready(self, within_s: float) -> "LabProcess":
        """Wait for the ready file."""
        until("the ready file", lambda: self._log_while_alive() and self.ready_file.exists(), within_s)
        self.ready = json.loads(self.ready_file.read_text(encoding="utf-8"))
        return self

    def _log_while_alive(self) -> str:
        assert self.popen.poll() is None, f"it ended with {self.popen.returncode}:\n{self.log}"
        return self.log or " "

    def family(self) -> list[ProcessIdentity]:
        """The process and everything that descends from it now."""
        table = snapshot()
        mine = descendants([self.popen.pid], table)
        return [row.identity for row in table if row.identity.pid in mine]

    def end(self, number: signal.Signals, within_s: float = 30.0) -> int:
        """Send a signal, wait for the end, return the exit status."""
        self.popen.send_signal(number)
        return self.popen.wait(within_s)

    def assert_nothing_left(self, family: list[ProcessIdentity], within_s: float = 15.0) -> None:
        """See `assert_nothing_left`."""
        assert_nothing_left(self.home, family, within_s)

    def health_not_throttled(self, region: str) -> Answer:
        """GET the Region's `/health`, again while the checkers use all of the function's concurrency.

        Sixteen of them poll once a second at --speed 10, and a probe may take one; Lambda's refusal is a 500.
        """
        return until(
            "an answer that is not 500",
            lambda: answer if (answer := self.health(region)).status != 500 else None,
        )

    # What users do with a lab that is up.

    @staticmethod
    def until(what: str, look: Callable[[], T | None], within_s: float = CHANGE_WITHIN_S) -> T:
        """See `until`."""
        return until(what, look, within_s)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """`beacon-lab ARGUMENTS` against this lab."""
        return run_command(*arguments, "--state-dir", str(self.state_dir))

    def fault(self, region: str, kind: str) -> None:
        done = self.command("fault", region, kind)
        assert done.returncode == 0, done.stderr

    def heal(self, region: str) -> None:
        done = self.command("heal", region)
        assert done.returncode == 0, done.stderr

    def host(self, region: str) -> str:
        """A Region's DSQL host."""
        return str(self.ready["regions"][region]["dsql"]["host"])

    def health(self, region: str) -> Answer:
        """GET the Region's `/health`."""
        context = ssl.create_default_context(cafile=self.ready["ca_file"])
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        began = time.monotonic()
        try:
            with direct.open(self.ready["regions"][region]["health_url"], timeout=20) as answer:
                return Answer(answer.status, answer.read(), time.monotonic() - began)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read(), time.monotonic() - began)
        except OSError:
            return Answer(0, b"", time.monotonic() - began)

    def regions(self) -> dict[str, dict[str, Any]]:
        """What `beacon-lab status --json` shows, without the time that a process takes to start."""
        found: Any = control.call(self.ready["control_url"], "/status")["regions"]
        return dict(found)

    def checks(self) -> dict[str, str]:
        """Each Region's health check: healthy or unhealthy."""
        return {name: row["health_check"] for name, row in self.regions().items()}

    def look_up(self, port: int | None = None) -> str:
        """The host that the record names."""
        where = self.ready["dns"]
        query = dns.message.make_query(self.ready["record_name"], dns.rdatatype.CNAME)
        answer = dns.query.udp(query, where["host"], port=port or where["port"], timeout=5)
        return str(answer.answer[0][0].to_text(omit_final_dot=True))

    def parameter(self, which: str, region: str = FIRST) -> str:
        """The value of the SSM parameter ``endpoint`` or ``document`` in a Region; empty when SSM fails."""
        keys = self.ready["credentials"]
        client = boto3.client(
            "ssm",
            region_name=region,
            endpoint_url=self.ready["aws_endpoint_url"],
            aws_access_key_id=keys["access_key_id"],
            aws_secret_access_key=keys["secret_access_key"],
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )
        with contextlib.closing(client):
            try:
                return client.get_parameter(Name=self.ready["ssm"][which])["Parameter"]["Value"]
            except ClientError:
                return ""

    def document(self, region: str) -> dict[str, Any]:
        """A Region's document; empty when SSM fails, and while what is stored there is no JSON object."""
        with contextlib.suppress(ValueError):
            found = json.loads(self.parameter("document", region))
            if isinstance(found, dict):
                return found
        return {}

    def aws(self, *arguments: str, region: str = FIRST) -> "subprocess.CompletedProcess[str]":
        """The AWS CLI, as `beacon-lab up` says to use it."""
        keys = self.ready["credentials"]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "AWS_ENDPOINT_URL": self.ready["aws_endpoint_url"],
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": keys["access_key_id"],
            "AWS_SECRET_ACCESS_KEY": keys["secret_access_key"],
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        return run([str(BIN / "aws"), *arguments], environment)

    def psql(
        self, region: str, *arguments: str, password: str | None = None, user: str = "", sslmode: str = ""
    ) -> "subprocess.CompletedProcess[str]":
        """psql at a Region's DSQL front, by default as the operator with a token made for it."""
        dsql = self.ready["regions"][region]["dsql"]
        if password is None:
            password = self.command("token", region).stdout.strip()
        conninfo = (
            f"host={dsql['host']} hostaddr={dsql['address']} port={dsql['port']} user={user or dsql['user']}"
            f" dbname={dsql['database']} sslmode={sslmode or 'verify-full'}"
            f" sslrootcert={self.ready['ca_file']}"
        )
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "PGPASSWORD": password}
        return run([client_program("psql", "postgresql-client"), conninfo, "-X", *arguments], environment)

    def dig(self, *arguments: str, near: str = "") -> str:
        """What dig prints, asking the default port or the one near a Region."""
        where = self.ready["dns"]["by_region"][near] if near else self.ready["dns"]
        program = client_program("dig", "bind9-dnsutils")
        server = [f"@{where['host']}", "-p", str(where["port"]), "+tries=1"]
        done = run([program, *server, *arguments], os.environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def curl(self, region: str, *options: str, url: str = "") -> tuple[list[str], str]:
        """The lines of the head, and the body, of what curl gets from a Region's `/health`."""
        argv = [client_program("curl", "curl"), "-sS", "-i", "--noproxy", "*"]
        argv += ["--cacert", self.ready["ca_file"], *options]
        done = run([*argv, url or self.ready["regions"][region]["health_url"]], os.environ)
        assert done.returncode == 0, done.stderr
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        return head.splitlines(), body

    def await_settled(self) -> None:
        """Wait until nothing is left of an earlier fault: see `is_settled`."""
        until("both Regions are healthy and everything points at the first", self.is_settled)

    def is_settled(self) -> bool:
        """Whether both Regions are healthy, and DNS and SSM point at the first, nothing frozen or out."""
        if self.look_up() != self.host(FIRST) or self.parameter("endpoint") != self.host(FIRST):
            return False
        for region in (FIRST, SECOND):
            document = self.document(region)
            if document.get("frozen") is not False:
                return False
            if any(row["effective"] != "in" or row["observed"] != "up" for row in document["endpoints"]):
                return False
        return set(self.checks().values()) == {"healthy"}


def run(argv: list[str], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    return subprocess.run(
        argv, env=dict(environment), capture_output=True, text=True, timeout=60, check=False
    )


#: What GNU make exports to a recipe, where ARGS was given on its command line.
OF_MAKE = frozenset({"ARGS", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES"})


def outside_make() -> dict[str, str]:
    """The environment without make's own variables: a nested make would take the ARGS of `make test`."""
    return {key: value for key, value in os.environ.items() if key not in OF_MAKE}


def run_command(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """`beacon-lab ARGUMENTS`, run to its end."""
    return run([COMMAND, *arguments], {**os.environ, **environment})


def living(identities: list[ProcessIdentity]) -> list[ProcessIdentity]:
    """Those that still run."""
    return [found for found in identities if found.alive()]


def naming(path: Path) -> list[int]:
    """The processes, but for this one, whose command line or environment names ``path``."""
    found = []
    for row in snapshot():
        pid = row.identity.pid
        if pid == os.getpid() or row.state == "Z":
            continue
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                if os.fsencode(path) in (Path("/proc") / str(pid) / name).read_bytes():
                    found.append(pid)
                    break
    return found


def assert_nothing_left(home: Path, family: list[ProcessIdentity], within_s: float = 15.0) -> None:
    """No process of ``family``, none that names ``home``, and nothing in the TMPDIR."""

    def left() -> list[object]:
        return [*living(family), *naming(home), *(home / "tmp").glob("beacon-lab-*")]

    until(f"nothing is left of the lab in {home}", lambda: not left() or None, within_s)


@contextlib.contextmanager
def new_home() -> Iterator[Path]:
    """A home: short, for Unix sockets, and passable for the user that runs PostgreSQL where we are root."""
    home = Path(tempfile.mkdtemp(prefix="beacon-e2e-", dir="/tmp"))
    try:
        home.chmod(0o755)
        (home / "tmp").mkdir()
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


Starter = Callable[..., LabProcess]


@contextlib.contextmanager
def starter() -> Iterator[Starter]:
    """Starts labs; what still runs at the end is ended, and must leave nothing."""
    with contextlib.ExitStack() as stack:

        def start(*argv: str, home: Path | None = None, **environment: str) -> LabProcess:
            """Run ``argv``, by default in a new home; ``{home}``, ``{beacon-lab}`` stand for their paths."""
            home = home or stack.enter_context(new_home())
            with (home / "log").open("w", encoding="utf-8") as log:
                popen = subprocess.Popen(
                    [sys.executable, "-c", BOUND]
                    + [argument.format(**{"home": home, "beacon-lab": COMMAND}) for argument in argv],
                    cwd=ROOT,
                    env={**outside_make(), "TMPDIR": str(home / "tmp"), **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,
                )
            lab = LabProcess(popen, home)
            stack.callback(_end, lab)
            return lab

        yield start


def _end(lab: LabProcess) -> None:
    """End a lab with SIGTERM, as a service manager would; it must say so, and take everything with it."""
    if lab.popen.poll() is None:
        family = lab.family()
        assert lab.end(signal.SIGTERM) == (0 if lab.ready else 2), lab.log
        assert "Traceback" not in lab.log
        lab.assert_nothing_left(family)
        assert not lab.ready_file.exists()
        assert not (lab.state_dir / "lab.json").exists()


Up = Callable[..., LabProcess]


def upper(start: Starter) -> Up:
    """Starts `beacon-lab up --speed 10 ARGUMENTS` and waits until it is up."""

    def up(*arguments: str, home: Path | None = None, within_s: float = UP_WITHIN_S) -> LabProcess:
        places = ("--state-dir", "{home}/state", "--ready-file", "{home}/ready.json")
        lab = start("{beacon-lab}", "up", "--speed", "10", *places, *arguments, home=home)
        return lab.await_ready(within_s)

    return up


@pytest.fixture
def start() -> Iterator[Starter]:
    """Starts programs for one test."""
    with starter() as given:
        yield given


@pytest.fixture
def up(start: Starter) -> Up:
    """Starts labs for one test."""
    return upper(start)


@pytest.fixture(scope="module")
def up_for_module() -> Iterator[Up]:
    """Starts labs for all tests of a file."""
    with starter() as given:
        yield upper(given)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home for one test."""
    with new_home() as made:
        yield made


Refused = Callable[..., str]


@pytest.fixture
def refused(home: Path) -> Refused:
    """Runs `beacon-lab ARGUMENTS`, which must end with 2, a sentence (returned) and nothing left."""

    def run_refused(*arguments: str, **environment: str) -> str:
        done = run_command(*arguments, TMPDIR=str(home / "tmp"), **environment)
        lines = done.stderr.splitlines()
        assert done.returncode == 2, done.stdout + done.stderr
        # One line, unless it is argparse that speaks: that begins with the usage.
        assert len(lines) == 1 or lines[0].startswith("usage: "), done.stderr
        assert_nothing_left(home, [], within_s=1.0)
        return lines[-1]

    return run_refused
