"""With `beacon-lab up` running, a user's own clients get the answers that AWS would give."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.places import ROOT

from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from tests.lab.command.conftest import LabProcess, Refused

pytestmark = pytest.mark.lab

FIRST, SECOND = "us-east-1", "us-east-2"
STRANGER = "127.66.0.1"


def search_string(region: str) -> str:
    """What Route 53 looks for in a Region's answers."""
    return f"beacon:orders-lab:{region}:serving"


@pytest.fixture
def settled(lab: LabProcess) -> None:
    """Nothing is left of what other tests broke."""
    lab.await_settled()


def test_the_ready_file_has_exactly_the_promised_members(lab: LabProcess) -> None:
    """Scripts find each member where it is documented, and no others."""
    assert lab.ready == {
        "aws_endpoint_url": lab.ready["aws_endpoint_url"],
        "credentials": dict.fromkeys(("access_key_id", "secret_access_key"), Text()),
        "ca_file": Text(),
        "record_name": "db.orders.example",
        "dns": {
            "host": "127.0.0.1",
            "port": Port(),
            "by_region": {region: {"host": "127.0.0.1", "port": Port()} for region in (FIRST, SECOND)},
        },
        "regions": {
            region: {
                "health_url": Text(),
                "dsql": {
                    "host": Text(),
                    "address": "127.0.0.1",
                    "port": Port(),
                    "user": "operator",
                    "database": "postgres",
                },
            }
            for region in (FIRST, SECOND)
        },
        "ssm": {"endpoint": "/orders/lab/dsql/endpoint", "document": "/orders/lab/dsql/document"},
        "control_url": Text(),
        "speed": 10.0,
    }


class Text:
    """Equal to every string that is not empty."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and bool(other)

    __hash__ = None  # type: ignore[assignment] # equal to many


class Port:
    """Equal to every port."""

    def __eq__(self, other: object) -> bool:
        return type(other) is int and 0 < other < 65536

    __hash__ = None  # type: ignore[assignment] # equal to many


def printed(lab: LabProcess) -> str:
    """All that `up` prints: its last line comes after the ready file."""
    return lab.until("up's lines", lambda: lab.log if "Ctrl-C takes it down." in lab.log else None)


def test_up_says_what_to_try(lab: LabProcess) -> None:
    """The lines that `up` prints hold the values of this lab."""
    first, second = lab.ready["regions"][FIRST], lab.ready["regions"][SECOND]["dsql"]
    log = printed(lab)
    for line in (
        f"export AWS_ENDPOINT_URL={lab.ready['aws_endpoint_url']} AWS_DEFAULT_REGION={FIRST}",
        f"dig @127.0.0.1 -p {lab.ready['dns']['port']} db.orders.example",
        f"curl -i --cacert {lab.ready['ca_file']} {first['health_url']}",
        f"export PGHOST={second['host']} PGHOSTADDR=127.0.0.1 PGPORT={second['port']}",
        f"export PGUSER={second['user']} PGDATABASE=postgres",
        'actor="$(id -un)" -f sql/drain.sql',
        f"beacon-lab fault {FIRST} dsql-freeze --state-dir {lab.state_dir}",
    ):
        assert line in log


def test_the_login_that_up_prints_works(lab: LabProcess, settled: None) -> None:
    """Pasted into a bare shell in the project's directory, it shows the Regions."""
    lines = printed(lab).split("# in the project's directory")[1].split("\n", 1)[1].split("\n\n")[0]
    done = subprocess.run(
        ["bash", "-c", lines],
        cwd=ROOT,
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(lab.home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(rf"{FIRST} +\| not drained", done.stdout)


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
@pytest.mark.parametrize("near", ["", FIRST, SECOND])
def test_dig_gets_the_record_and_its_address(
    lab: LabProcess, settled: None, transport: str, near: str
) -> None:
    """Under failover every listener names the first Region's endpoint, with the record's TTL."""
    answer = lab.dig(lab.ready["record_name"], transport, "+noall", "+answer", near=near).splitlines()
    host = lab.host(FIRST)
    assert [line.split() for line in answer] == [
        ["db.orders.example.", "10", "IN", "CNAME", f"{host}."],
        [f"{host}.", "5", "IN", "A", "127.0.0.1"],
    ]


def test_dig_gets_nothing_for_a_name_that_is_not_there(lab: LabProcess) -> None:
    """NXDOMAIN inside the zone, with the zone's SOA; REFUSED outside."""
    inside = lab.dig("nothing.orders.example")
    assert "status: NXDOMAIN" in inside
    assert "SOA" in inside
    assert "status: REFUSED" in lab.dig("example.org")


def test_the_runbook_finds_its_placeholders(lab: LabProcess) -> None:
    """Its two commands give each Region's health check, then the path that an operator asks."""
    text = (ROOT / "docs/runbook.md").read_text(encoding="utf-8")
    commands = re.findall(r"\$ timeout 20 aws (.*)", text.replace("\\\n", " "))
    listing, getting = (
        shlex.split(next(it for it in commands if it.startswith(f"route53 {operation} ")))
        for operation in ("list-health-checks", "get-health-check")
    )
    done = lab.aws(*(word.replace("beacon-prod", "orders-lab") for word in listing))
    assert done.returncode == 0, done.stderr
    checks = dict(line.split() for line in done.stdout.splitlines())
    assert {name.split(":")[2] for name in checks} == {FIRST, SECOND}
    for name, check in checks.items():
        done = lab.aws(*(word.replace("HEALTH_CHECK_ID", check) for word in getting))
        assert done.returncode == 0, done.stderr
        assert lab.ready["regions"][name.split(":")[2]]["health_url"].endswith(done.stdout.split()[1])


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_the_aws_cli_reads_both_parameters(lab: LabProcess, settled: None, region: str) -> None:
    """The endpoint is a plain host name, the document ranks both endpoints and was made in that Region."""
    names = [lab.ready["ssm"]["endpoint"], lab.ready["ssm"]["document"]]
    done = lab.aws("ssm", "get-parameters", "--names", *names, "--output", "json", region=region)
    assert done.returncode == 0, done.stderr
    rows = {row["Name"]: row for row in json.loads(done.stdout)["Parameters"]}
    document = json.loads(rows[names[1]]["Value"])
    assert {row["Type"] for row in rows.values()} == {"String"}
    assert (document["service"], document["observer"]) == ("orders-lab", region)
    assert {row["host"] for row in document["endpoints"]} == {lab.host(FIRST), lab.host(SECOND)}
    assert rows[names[0]]["Value"] == document["endpoints"][0]["host"]


def test_the_aws_cli_reads_one_parameter_as_text(lab: LabProcess, settled: None) -> None:
    """`get-parameter --query --output text`, as the lab says to try, prints the host and nothing else."""
    name = lab.ready["ssm"]["endpoint"]
    done = lab.aws("ssm", "get-parameter", "--name", name, "--query", "Parameter.Value", "--output", "text")
    assert (done.returncode, done.stdout.strip()) == (0, lab.host(FIRST))


def test_the_aws_cli_reports_a_parameter_that_is_not_there(lab: LabProcess) -> None:
    """The service's own error code, and the CLI's exit status for it."""
    done = lab.aws("ssm", "get-parameter", "--name", "/no/such/parameter")
    assert done.returncode in {254, 255}
    assert "(ParameterNotFound)" in done.stderr


def test_the_aws_cli_follows_the_health_checks(lab: LabProcess, settled: None) -> None:
    """The listing has one check per Region as the template sets it, and its status comes from 16 checkers."""
    done = lab.aws("route53", "list-health-checks", "--output", "json")
    assert done.returncode == 0, done.stderr
    checks = json.loads(done.stdout)["HealthChecks"]
    configs = {check["HealthCheckConfig"]["SearchString"]: check for check in checks}
    assert sorted(configs) == [f"beacon:orders-lab:{region}:serving" for region in (FIRST, SECOND)]
    check = configs[f"beacon:orders-lab:{FIRST}:serving"]
    config = check["HealthCheckConfig"]
    assert (config["Type"], config["EnableSNI"], config["RequestInterval"]) == ("HTTPS_STR_MATCH", True, 10)
    assert config["ResourcePath"] == urlsplit(lab.ready["regions"][FIRST]["health_url"]).path
    status = lab.aws(
        "route53", "get-health-check-status", "--health-check-id", check["Id"], "--output", "json"
    )
    assert status.returncode == 0, status.stderr
    observations = json.loads(status.stdout)["HealthCheckObservations"]
    assert len(observations) == 16
    assert len({row["Region"] for row in observations}) == 8
    assert all(
        row["StatusReport"]["Status"].startswith("Success: HTTP Status Code 200") for row in observations
    )
    reason = lab.aws("route53", "get-health-check-last-failure-reason", "--health-check-id", check["Id"])
    assert reason.returncode == 0, reason.stderr
    assert "HealthCheckObservations" in reason.stdout
    unknown = "00000000-0000-4000-8000-000000000000"
    missing = lab.aws("route53", "get-health-check-status", "--health-check-id", unknown)
    assert missing.returncode in {254, 255}
    assert "NoSuchHealthCheck" in missing.stderr


def test_curl_gets_a_serving_answer(lab: LabProcess, settled: None) -> None:
    """200, the draft's media type, never cached, the Region in a header, the search string early."""
    head, body = lab.curl(FIRST)
    assert head[0] == "HTTP/1.1 200 OK"
    headers = dict(line.lower().split(": ", 1) for line in head[1:])
    assert headers["content-type"] == "application/health+json"
    assert headers["cache-control"] == "no-store"
    assert headers["x-beacon-region"] == FIRST
    answer = json.loads(body)
    assert (answer["status"], answer["serviceId"]) == ("pass", f"orders-lab/{FIRST}")
    assert search_string(FIRST) in body[:200]
    assert lab.host(FIRST) not in body


def test_curl_head_is_answered_without_a_body(lab: LabProcess, settled: None) -> None:
    """HEAD works."""
    head, body = lab.curl(FIRST, "--head")
    assert (head[0], body) == ("HTTP/1.1 200 OK", "")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["-X", "POST", "-d", "x"], "MissingAuthenticationTokenException"),
        (["-X", "OPTIONS"], "MissingAuthenticationTokenException"),
        (["--interface", STRANGER], "AccessDeniedException"),
        (["-H", "Host: elsewhere.example"], "ForbiddenException"),
    ],
)
def test_curl_is_refused_what_no_caller_may_do(lab: LabProcess, options: list[str], error: str) -> None:
    """Another method, a stranger's address, another host: 403 from the gateway, without the search string."""
    head, body = lab.curl(FIRST, *options)
    assert head[0] == "HTTP/1.1 403 Forbidden"
    assert f"x-amzn-errortype: {error.lower()}" in [line.lower() for line in head]
    assert search_string(FIRST) not in body


@pytest.mark.parametrize(
    "path", ["/live/{wrong}/health", "/live/{token}", "/live/{token}/health/x", "/health"]
)
def test_curl_is_refused_every_other_path(lab: LabProcess, path: str) -> None:
    """A wrong token and every other path are refused without the search string."""
    url = urlsplit(lab.ready["regions"][FIRST]["health_url"])
    token = url.path.split("/")[2]
    elsewhere = url._replace(path=path.format(wrong=token[::-1], token=token)).geturl()
    head, body = lab.curl(FIRST, url=elsewhere)
    assert head[0] == "HTTP/1.1 403 Forbidden"
    assert search_string(FIRST) not in body


@pytest.mark.parametrize("region", [FIRST, SECOND])
def test_psql_gets_in_with_a_token(lab: LabProcess, region: str) -> None:
    """With `beacon-lab token REGION` as the password, as the operator; isolation is DSQL's."""
    done = lab.psql(region, "-Atc", "SELECT current_user, current_setting('transaction_isolation')")
    assert (done.returncode, done.stdout.strip()) == (0, "operator|repeatable read"), done.stderr


def test_psql_gets_in_as_admin_with_an_admin_token(lab: LabProcess) -> None:
    """A token for admin is another token: each opens its own role's door only."""
    token = lab.command("token", FIRST, "--admin").stdout.strip()
    done = lab.psql(FIRST, "-Atc", "SELECT 1", password=token, user="admin")
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
    crossed = lab.psql(FIRST, "-Atc", "SELECT 1", password=token)
    assert crossed.returncode == 2
    assert "unable to accept connection, access denied" in crossed.stderr


@pytest.mark.parametrize("fault", ["cut off", "of the other Region", "no token", "nothing"])
def test_psql_is_refused_with_a_bad_token(lab: LabProcess, fault: str) -> None:
    """DSQL's own words, and psql's exit status for a connection that failed."""
    right = lab.command("token", FIRST).stdout.strip()
    password = {
        "cut off": right[:-1],
        "of the other Region": lab.command("token", SECOND).stdout.strip(),
        "no token": "swordfish",
        "nothing": " ",
    }[fault]
    done = lab.psql(FIRST, "-c", "SELECT 1", password=password)
    assert done.returncode == 2
    assert "unable to accept connection, access denied" in done.stderr
    assert "X-Amz" not in done.stderr


def test_psql_is_refused_without_tls(lab: LabProcess) -> None:
    """TLS is mandatory, in DSQL's own words."""
    done = lab.psql(FIRST, "-c", "SELECT 1", sslmode="disable")
    assert done.returncode == 2
    assert "unable to accept connection, SSL is mandatory. AWS Authentication is required." in done.stderr


def test_status_shows_regions_checks_and_faults(lab: LabProcess, settled: None) -> None:
    """As a table, and as JSON for scripts."""
    table = lab.command("status")
    assert table.returncode == 0
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["Region", "health", "check", "faults"],
        [FIRST, "healthy", "none"],
        [SECOND, "healthy", "none"],
    ]
    found = json.loads(lab.command("status", "--json").stdout)
    assert found == {
        "regions": {region: {"health_check": "healthy", "faults": []} for region in (FIRST, SECOND)}
    }


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (("fault", "us-east-9", "dsql-freeze"), f"it has {FIRST}, {SECOND}"),
        (("heal", "us-east-9"), f"it has {FIRST}, {SECOND}"),
        (("token", "us-east-9"), f"it has {FIRST}, {SECOND}"),
        (("fault", FIRST, "dsql-melt"), f"choose one of {', '.join(FaultKind)}"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    lab: LabProcess, order: tuple[str, ...], sentence: str
) -> None:
    """An unknown Region or fault: exit status 2, and one sentence that lists what there is."""
    done = lab.command(*order)
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("beacon-lab")
    assert sentence in last
    assert set(lab.checks()) == {FIRST, SECOND}


def test_orders_reach_the_lab_past_a_proxy_of_the_environment(
    lab: LabProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that the environment names is for other machines: a lab on this one is asked directly."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert lab.command("status").returncode == 0


def test_a_second_lab_on_the_same_state_directory_is_refused(lab: LabProcess, refused: Refused) -> None:
    """The first continues; the sentence says how to end it, or how to have both."""
    said = refused("up", "--state-dir", str(lab.state_dir))
    assert said.startswith(f"beacon-lab: a lab is already up (process {lab.popen.pid}, ")
    assert said.endswith("or give this one a --state-dir of its own")
    assert lab.command("status").returncode == 0
