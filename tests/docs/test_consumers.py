"""The examples of docs/consumers.md other than Python: each is taken from the page and run, or checked.

Services of AWS that cannot be had here are stood in for: SSM by moto's server, Lambda's extension by a server
that answers in its form.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import yaml
from moto.server import ThreadedMotoServer
from tests.pages import blocks, page, section
from tests.places import ROOT

import beacon
from beacon.client import candidates as order
from beacon.client.local_view import LEAST_STAGGER_S, MOST_STAGGER_S
from beacon.client.pool_care import HOME_S, RETIRE_S, PoolPolicy
from beacon.client.rerun import RetryPolicy
from beacon.document.form import DocumentError, Expected, serialize
from beacon.document.reader import Reader
from beacon.model import Document, Effective, EndpointState, Forced, Observed

CONSUMERS = page("docs/consumers.md")
SCRIPT = ROOT / "docs/examples/candidates.mjs"
TOOLS = Path(sys.executable).parent
HOSTS = tuple(letter * 26 + f".dsql.us-east-{number}.on.aws" for letter, number in (("a", 1), ("b", 2)))
THIRD = "c" * 26 + ".dsql.us-west-2.on.aws"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(
    NODE is None, reason="node is not on the PATH: the JavaScript examples are not run"
)


def document(now: datetime, **changes: Any) -> Document:  # noqa: ANN401 - a document's members
    """Two Regions in, and a third one that is drained."""

    def state(host: str, effective: Effective = Effective.IN, forced: Forced | None = None) -> EndpointState:
        region = host.split(".")[2]
        return EndpointState(region, host, 5432, Observed.UP, forced, effective, "ok", now, 1.5, 0, now)

    states = (state(HOSTS[1]), state(HOSTS[0]), state(THIRD, Effective.OUT, Forced.DRAIN))
    made = Document(
        "beacon-prod",
        "dsql",
        "us-east-1",
        int(now.timestamp() * 1000),
        now,
        now + timedelta(seconds=300),
        states,
    )
    return replace(made, **changes)


# ---- the page itself


def test_every_name_of_the_library_is_on_the_page() -> None:
    """The page names every public name."""
    assert not {name for name in beacon.__all__ if not re.search(rf"\b{name}\b", CONSUMERS)}


def test_the_extras_are_those_of_the_package() -> None:
    """And none that a service does not need."""
    project = tomllib.loads(page("layers/beacon/pyproject.toml"))["project"]
    table = section(CONSUMERS, "Install")
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == set(project["optional-dependencies"]) - {
        "publisher"
    }
    for named in re.findall(r"layers/beacon\[([\w,]+)\]", CONSUMERS + page("README.md")):
        assert set(named.split(",")) <= set(project["optional-dependencies"])


def test_the_layer_has_what_the_page_says_that_it_has() -> None:
    """psycopg, and neither psycopg_pool nor dnspython."""
    locked = set(re.findall(r"^([\w-]+)==", page("layers/beacon/src/requirements.txt"), re.MULTILINE))
    assert "psycopg-binary" in locked
    assert not locked & {"psycopg-pool", "dnspython"}


@pytest.mark.parametrize(
    ("said", "is_so"),
    [
        (
            "silent for three times its usual login (50-250 ms)",
            (LEAST_STAGGER_S, MOST_STAGGER_S) == (0.05, 0.25),
        ),
        ("within 10 s where the old one was drained or is down", RETIRE_S == 10),
        ("within five minutes where it\nis merely no longer the best", HOME_S == 300),
        ("replaced after 50 minutes", PoolPolicy().max_age_s == 3000),
        ("idle\nfor a second is asked", PoolPolicy().check_idle_s == 1),
        ("has half a second for it", PoolPolicy().check_timeout_s == 0.5),
        ("starts at most 25 connects a second", PoolPolicy().connects_per_s == 25),
        ("8 times in all", RetryPolicy().attempts == 8),
    ],
)
def test_the_numbers_of_the_page_are_those_of_the_code(said: str, is_so: bool) -> None:
    """A change of one without the other fails here."""
    assert re.sub(r"\s+", " ", said) in re.sub(r"\s+", " ", CONSUMERS)
    assert is_so


def test_the_policy_allows_what_the_library_asks_for() -> None:
    """One read of one parameter, and logins at both clusters; never as admin."""
    policy = json.loads(blocks(section(CONSUMERS, "What the service may do"), "json")[0])
    allowed = {statement["Action"]: statement["Resource"] for statement in policy["Statement"]}
    assert allowed.keys() == {"ssm:GetParameters", "dsql:DbConnect"}
    assert allowed["ssm:GetParameters"].endswith(":parameter/beacon/prod/dsql/document")
    assert [arn.split(":")[3] for arn in allowed["dsql:DbConnect"]] == ["us-east-1", "us-east-2"]


# ---- shells


@dataclass
class Shell:
    """A POSIX shell with the AWS CLI, before an SSM that can be taken away."""

    url: str
    directory: Path

    def run(self, code: str, given: str = "", *, reachable: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{self.directory}:{TOOLS}:{os.environ['PATH']}",
            "HOME": str(self.directory),
            "AWS_ENDPOINT_URL": self.url if reachable else "http://127.0.0.1:9",
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        code = code.replace("/var/lib/orders/", f"{self.directory}/")
        return subprocess.run(
            ["sh", "-c", code],
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture(scope="module")
def ssm() -> Iterator[str]:
    """Both parameters of us-east-1, as the publisher writes them."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client(
        "ssm",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
    for name, value in (("endpoint", HOSTS[1]), ("document", serialize(document(datetime.now(UTC))))):
        client.put_parameter(Name=f"/beacon/prod/dsql/{name}", Value=value, Type="String", Overwrite=True)
    client.close()
    yield url
    server.stop()


#: The AWS CLI. Version 2 alone signs for DSQL, and the package index has version 1: boto3 signs in its place.
AWS = f"""#!/bin/sh
if [ "$1 $2" != "dsql generate-db-connect-auth-token" ]; then exec {TOOLS}/aws "$@"; fi
[ "$3 $5 $#" = "--hostname --region 6" ] || exit 252
exec {sys.executable} -c 'import boto3, sys
print(boto3.client("dsql").generate_db_connect_auth_token(*sys.argv[1:]))' "$4" "$6"
"""


@pytest.fixture
def shell(ssm: str, tmp_path: Path) -> Shell:
    """With a `psql` that says how it was called."""
    for name, code in (("aws", AWS), ("psql", '#!/bin/sh\nprintf "%s\\n" "$PGPASSWORD" "$@"\n')):
        (tmp_path / name).write_text(code, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    return Shell(ssm, tmp_path)


def test_the_aws_cli_prints_the_preferred_host(shell: Shell) -> None:
    """And nothing else."""
    done = shell.run(blocks(section(CONSUMERS, "AWS CLI"), "sh")[0])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{HOSTS[1]}\n", "")


def test_the_shell_connects_and_continues_with_the_last_host(shell: Shell) -> None:
    """The token is signed for the host and its Region; the same host when SSM does not answer."""
    code = blocks(section(CONSUMERS, "Shell"), "sh")[0]
    done = shell.run(code)
    token, options = done.stdout.splitlines()
    assert token.startswith(f"{HOSTS[1]}/?Action=DbConnect&")
    assert "us-east-2%2Fdsql%2Faws4_request" in token
    assert f"host={HOSTS[1]} user=my_role" in options
    assert {"sslmode=verify-full", "connect_timeout=3"} <= set(options.split())
    assert (shell.directory / "dsql-host").read_text() == HOSTS[1]

    (shell.directory / "dsql-host").write_text(HOSTS[0])
    done = shell.run(code, reachable=False)
    assert f"host={HOSTS[0]} " in done.stdout
    assert "us-east-1%2Fdsql%2Faws4_request" in done.stdout
    assert (shell.directory / "dsql-host").read_text() == HOSTS[0]


def test_the_hosts_of_a_document_with_tr_and_sed(shell: Shell) -> None:
    """Those that are in, best first."""
    code = blocks(section(CONSUMERS, "Shell"), "sh")[1]
    done = shell.run(code, serialize(document(datetime.now(UTC))))
    assert done.stdout.splitlines() == [HOSTS[1], HOSTS[0]]


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed: its filter is not run")
def test_the_hosts_of_a_document_with_jq(shell: Shell) -> None:
    """The same."""
    code = re.search(r"`(jq -r '[^']+')`", CONSUMERS)
    assert code is not None
    done = shell.run(code[1], serialize(document(datetime.now(UTC))))
    assert done.stdout.splitlines() == [HOSTS[1], HOSTS[0]]


# ---- what deploys


def test_cloudformation_takes_the_template(tmp_path: Path) -> None:
    """By cfn-lint; and the reference is to the parameter that Beacon writes."""
    code = blocks(section(CONSUMERS, "CloudFormation"), "yaml")[0]
    variables = yaml.safe_load(code)["Resources"]["Orders"]["Properties"]["Environment"]["Variables"]
    assert variables == {"DSQL_FALLBACK_HOST": "{{resolve:ssm:/beacon/prod/dsql/endpoint}}"}
    template = tmp_path / "orders.yaml"
    template.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [TOOLS / "cfn-lint", "--regions", "us-east-1", "--", template],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_terraform_names_the_parameter_and_the_unmarked_value() -> None:
    """By its text alone: there is no terraform among our tools, and its provider is no Python package."""
    code = blocks(section(CONSUMERS, "Terraform"), "hcl")[0]
    data = re.search(r'^data "aws_ssm_parameter" "(\w+)" \{\n  name = "([^"]+)"\n\}$', code, re.MULTILINE)
    assert data is not None
    assert data[2] == "/beacon/prod/dsql/endpoint"
    assert f"data.aws_ssm_parameter.{data[1]}.insecure_value" in code
    assert code.count("{") == code.count("}")


def test_ecs_takes_the_secret() -> None:
    """The members are those of the API's model, and the ARN is that of the parameter."""
    definition = json.loads(blocks(section(CONSUMERS, "ECS secrets"), "json")[0])
    client = boto3.client(
        "ecs", region_name="us-east-1", aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret"
    )
    shape = client.meta.service_model.operation_model("RegisterTaskDefinition").input_shape
    client.close()
    container = shape.members["containerDefinitions"].member
    secret = container.members["secrets"].member
    (given,) = definition["containerDefinitions"]
    assert set(definition) <= set(shape.members)
    assert set(given) <= set(container.members)
    assert [set(each) for each in given["secrets"]] == [set(secret.required_members)]
    assert given["secrets"][0]["valueFrom"].endswith(":parameter/beacon/prod/dsql/endpoint")


# ---- JavaScript


def node(code: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return subprocess.run(
        [NODE, "--input-type=module", "-e", code],
        input=given,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Extension:
    """Answers like AWS's Parameters and Secrets extension."""

    def __init__(self) -> None:
        self.text = serialize(document(datetime.now(UTC)))
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                name = parse_qs(url.query).get("name", [""])[0]
                outer.asked.append(self.path)
                right = self.headers.get("X-Aws-Parameters-Secrets-Token") == "session"
                value = {"Name": name, "Type": "String", "Value": outer.text, "Version": 7}
                body = json.dumps({"Parameter": value, "ResultMetadata": {}}).encode()
                known = right and (url.path, name) == (
                    "/systemsmanager/parameters/get",
                    "/beacon/prod/dsql/document",
                )
                self.send_response(200 if known else 400)
                self.send_header("Content-Length", str(len(body) if known else 0))
                self.end_headers()
                self.wfile.write(body if known else b"")

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def extension() -> Iterator[Extension]:
    """The extension of one sandbox."""
    made = Extension()
    yield made
    made.close()


@needs_node
def test_the_lambda_extension_hands_out_the_document(extension: Extension) -> None:
    """The name is encoded, the token sent, and what is not 200 is an error."""
    code = blocks(section(CONSUMERS, "Lambda extension"), "js")[0]
    code += "process.stdout.write(await readDocument());"
    port = str(extension.port)
    done = node(code, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT=port, AWS_SESSION_TOKEN="session")
    assert (done.stdout, done.stderr) == (extension.text, "")
    assert "name=%2Fbeacon%2Fprod%2Fdsql%2Fdocument" in extension.asked[0]
    done = node(code, PARAMETERS_SECRETS_EXTENSION_HTTP_PORT=port, AWS_SESSION_TOKEN="another")
    assert done.returncode != 0
    assert "the extension answered 400" in done.stderr


def program(given: str | bytes, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """The example as a program."""
    assert NODE is not None
    return subprocess.run(
        [NODE, SCRIPT, *(arguments or ("beacon-prod", "dsql", "us-east-1"))],
        input=given.encode() if isinstance(given, str) else given,
        capture_output=True,
        timeout=60,
        check=False,
    )


@needs_node
def test_the_program_prints_candidates_and_keeps_the_last_good_document(tmp_path: Path) -> None:
    """Also from what the AWS CLI prints, with a newline; and through whatever comes afterwards."""
    now = datetime.now(UTC)
    kept = tmp_path / "last-good.json"
    told = ("beacon-prod", "dsql", "us-east-1", kept)
    text = serialize(document(now))
    lines = [f"{HOSTS[1]} 5432", f"{HOSTS[0]} 5432", f"{THIRD} 5432 last-resort"]

    done = program(f"{text}\n", *told)
    assert (done.returncode, done.stdout.decode().splitlines(), done.stderr) == (0, lines, b"")
    assert kept.read_text() == text

    older = serialize(document(now - timedelta(seconds=60)))
    for bad in (
        "",
        "{}",
        older,
        text.replace(HOSTS[1], "localhost"),
        b"\xff",
        b"\xef\xbb\xbf" + text.encode(),
    ):
        done = program(bad, *told)
        assert (done.returncode, done.stdout.decode().splitlines()) == (0, lines)
        assert done.stderr.startswith(b"the document is ignored: ")
        assert kept.read_text() == text

    newer = document(now + timedelta(seconds=1))
    turned = serialize(replace(newer, endpoints=newer.endpoints[::-1]))
    done = program(turned, *told)
    assert done.stdout.decode().splitlines() == [lines[1], lines[0], lines[2]]
    assert list(tmp_path.iterdir()) == [kept]


@needs_node
def test_the_program_continues_without_its_file(tmp_path: Path) -> None:
    """It says so; and without any document it prints nothing and fails."""
    text = serialize(document(datetime.now(UTC)))
    done = program(text, "beacon-prod", "dsql", "us-east-1", tmp_path / "nowhere" / "last.json")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3)
    assert done.stderr.startswith(b"the document is not kept: ")
    done = program("null")
    assert (done.returncode, done.stdout) == (1, b"")
    assert program(text, "beacon-prod").returncode == 2


NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
GOOD = json.loads(serialize(document(NOW)))
#: Whole numbers with a decimal point are left out: JavaScript cannot tell them, and the page says so.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 1.5, 5432, 65535, 65536, 10**6, 10**6 + 1, 60_000, 60_001, 1e999),
    *(
        "",
        " ",
        "x",
        "in",
        "out",
        "up",
        "unknown",
        "drain",
        "ok",
        "all_failed",
        "a" * 41,
        "Ä",
        "1",
        [],
        {},
        [{}],
    ),
    *(
        "us-east-1",
        "us-east-2",
        "beacon-prod",
        "dsql",
        HOSTS[0],
        HOSTS[1],
        THIRD,
        "localhost",
        f"{HOSTS[1]}.",
    ),
    *(HOSTS[1].upper(), f"user@{HOSTS[1]}", f"{HOSTS[1]}\n", HOSTS[1].replace(".dsql.", ".dsql-fnh4.")),
    *("2026-11-22T01:02:03Z", "2026-11-22T01:02:03.123456Z", "2026-11-22T01:02:03.1234567Z"),
    *("2026-11-22T01:02:03", "2026-11-22T01:02:03+00:00", "2026-02-30T01:02:03Z", "2026-11-22T24:00:00Z"),
    *("2026-11-22T01:02:60Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-11-23T01:02:03.456Z"),
    *("2026-11-23T01:02:03.457Z", "9999-12-31T23:59:59Z", "2026-11-22t01:02:03z", "2026-11-22T01:02:03.Z"),
    *(
        GOOD["epoch"] - 1,
        GOOD["epoch"] + 1,
        GOOD["epoch"] + 300_000,
        GOOD["epoch"] + 300_001,
        2**53,
        2**63 - 1,
        2**63,
    ),
]


def texts() -> Iterator[str]:
    """Documents, good and bad: each member with each value, left out, or twice; and other texts."""

    def dumps(value: object) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def row(change: dict[str, Any], number: int = 0, *, without: str = "") -> dict[str, Any]:
        rows: list[dict[str, Any]] = [dict(each) for each in GOOD["endpoints"]]
        rows[number] |= change
        rows[number].pop(without, None)
        return dict(GOOD) | {"endpoints": rows}

    yield dumps(GOOD)
    for name, value in itertools.product(GOOD, VALUES):
        yield dumps(GOOD | {name: value})
    for name, value in itertools.product(GOOD["endpoints"][0], VALUES):
        yield dumps(row({name: value}))
    for name in GOOD:
        yield dumps({key: value for key, value in GOOD.items() if key != name})
        yield dumps(GOOD)[:-1] + f',"{name}":{dumps(GOOD[name])}}}'
    for name in GOOD["endpoints"][0]:
        yield dumps(row({}, without=name))
        yield dumps(GOOD).replace(f'"{name}":', f'"{name}":null,"{name}":', 1)
    for name in ("more", "__proto__", "constructor", ""):
        yield dumps(GOOD | {name: 1})
        yield dumps(row({name: 1}))
    yield dumps(GOOD).replace('"schema":', '"\\u0073chema":')
    yield dumps(GOOD).replace('"schema":1', '"schema":1,"\\u0073chema":1')
    yield dumps(GOOD)[:-1] + "," + " " * 5000 + dumps(GOOD)[1:]
    for size in (4096, 4097):
        yield dumps(GOOD) + " " * (size - len(dumps(GOOD)))
    yield from (
        "",
        " ",
        "null",
        "[]",
        "1",
        '"x"',
        "{",
        "{}",
        "NaN",
        "\ufeff" + dumps(GOOD),
        "[" * 3000,
        "ä" * 2049,
    )
    yield dumps(GOOD).replace("1.5", "NaN")
    yield dumps(GOOD).replace("1.5", "-0.0")
    yield dumps(GOOD).replace("1.5", "01")
    yield "\n" + json.dumps(GOOD, indent=1) + "\r\n"
    yield dumps(GOOD | {"endpoints": GOOD["endpoints"][::-1]})
    yield dumps(GOOD | {"endpoints": GOOD["endpoints"][2:]})
    yield dumps(row({"region": "us-east-1", "host": HOSTS[0]}))


def verdict(
    text: str, now: datetime, *, hosts: tuple[str, ...] = (), before: str = ""
) -> list[list[Any]] | None:
    """The candidates by the library, region, host, port and whether it is a last resort; or a refusal."""
    reader = Reader(Expected("beacon-prod", "dsql", "us-east-1", frozenset(hosts)))
    if before:
        reader.accept(before, now)
    try:
        accepted = reader.accept(text, now)
    except DocumentError:
        return None
    return [
        [each.endpoint.region, each.endpoint.host, each.endpoint.port, each.last_resort]
        for each in order.from_document(accepted, now)
    ]


ASK = f"""
import {{ parse, candidates }} from {json.dumps(SCRIPT.as_uri())};
import {{ readFileSync }} from "node:fs";
const told = {{ service: "beacon-prod", target: "dsql", observer: "us-east-1" }};
console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf-8")).map(({{ text, now, hosts, before }}) => {{
  const at = new Date(now), expected = {{ ...told, hosts }};
  const last = before ? parse(before, expected, at) : undefined;
  let read;
  try {{ read = parse(text, expected, at, last); }} catch (error) {{
    if (error.constructor !== Error) throw error;
    return null;
  }}
  return candidates(read.document, at).map((each) => [each.region, each.host, each.port, each.lastResort]);
}})));
"""


@needs_node
def test_the_example_and_the_library_say_the_same_of_every_document() -> None:
    """Refused by both, or the same candidates in the same order; now, and past `valid_until`."""
    cases: list[dict[str, Any]] = [{"text": text, "now": NOW, "hosts": ()} for text in texts()]
    for text in itertools.islice(texts(), 0, None, 7):
        cases.append({"text": text, "now": NOW + timedelta(seconds=301), "hosts": HOSTS})
        cases.append({"text": text, "now": NOW, "hosts": (*HOSTS, THIRD), "before": serialize(document(NOW))})
    good = json.dumps(GOOD)
    for rows in itertools.product(("up", "down", "unknown"), ("in", "out"), ("up", "down"), ("in", "out")):
        states = [dict(each) for each in GOOD["endpoints"]]
        for state, observed, effective in zip(states[:2], rows[::2], rows[1::2], strict=True):
            state |= {"observed": observed, "effective": effective}
        for seconds in (0, 299, 300, 301):
            text = json.dumps(GOOD | {"endpoints": states})
            cases.append({"text": text, "now": NOW + timedelta(seconds=seconds), "hosts": ()})
    for change in (-1, 0, 1):
        moved = json.dumps(GOOD | {"epoch": GOOD["epoch"] + change})
        cases += [
            {"text": text, "now": NOW, "hosts": (), "before": good} for text in (moved, good, good + " ")
        ]

    ours = [verdict(**case) for case in cases]
    done = node(ASK, json.dumps([case | {"now": case["now"].isoformat()} for case in cases]))
    assert done.returncode == 0, done.stderr
    theirs = json.loads(done.stdout)
    assert len(theirs) == len(cases) > 1000
    different = [
        (case, our, their) for case, our, their in zip(cases, ours, theirs, strict=True) if our != their
    ]
    assert not different, different[:3]
    # Neither says one thing to everything.
    assert 50 < sum(our is not None for our in ours) < len(ours) - 500
    assert len({json.dumps(our) for our in ours}) > 10
