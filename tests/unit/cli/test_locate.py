"""Which deployment a command works on: samconfig.toml's, or a lab's; and what it says where there is none."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from beacon_cli.errors import ExitCode, FailedError, WrongUseError
from beacon_cli.lab_ready import fleet_of_lab
from beacon_cli.locate import fleet_of_file, locate
from beacon_cli.options import RUNNING_LAB, Options

NEAR, FAR = "us-east-1", "us-east-2"
HOSTS = {region: f"{letter * 26}.dsql.{region}.on.aws" for region, letter in ((NEAR, "a"), (FAR, "b"))}


def section(region: str, *overrides: str, **settings: str) -> str:
    lines = [f"[{region}.deploy.parameters]", f'region = "{region}"', 'stack_name = "shop-test"']
    lines += [f'{name} = "{value}"' for name, value in settings.items()]
    return "\n".join([*lines, f"parameter_overrides = {json.dumps(overrides)}", ""])


def two_regions(*more: str) -> str:
    return "\n".join(
        section(region, "App=shop", "Env=test", f"DsqlEndpoint={HOSTS[region]}", *more)
        for region in (NEAR, FAR)
    )


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "samconfig.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_s_sections_are_one_deployment(tmp_path: Path) -> None:
    """With its Regions in the file's order, its record, and the stack for all Regions."""
    whole = '[all.deploy.parameters]\nregion = "us-east-1"\nstack_name = "g"\ntemplate_file = "global.yaml"\n'
    text = two_regions("RecordName=db.shop.test.", "HostedZoneId=Z1") + whole
    fleet = fleet_of_file(written(tmp_path, text))
    assert (fleet.service, fleet.regions) == ("shop-test", (NEAR, FAR))
    assert (fleet.record_name, fleet.zone_id) == ("db.shop.test", "Z1")
    assert fleet.global_stack == ("us-east-1", "g")
    assert fleet.site(FAR).host == HOSTS[FAR]
    assert fleet.document_parameter == "/shop/test/dsql/document"


def test_a_region_that_is_not_there_gets_the_known_ones(tmp_path: Path) -> None:
    """And the nearest."""
    with pytest.raises(WrongUseError, match=r"it has us-east-1, us-east-2\. Did you mean us-east-1\?"):
        fleet_of_file(written(tmp_path, two_regions())).site("us-est-1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("version = 0.1\n", "deploys no Region"),
        ("[a\n", "cannot be read"),
        (section(NEAR, "DsqlEndpoint=REPLACE_ME"), "REPLACE_ME in DsqlEndpoint"),
        (section(NEAR, "App=a") + section(FAR, "App=b"), r"several deployments \(a-prod, b-prod\)"),
    ],
)
def test_a_file_that_is_none_is_wrong_use(text: str, says: str, tmp_path: Path) -> None:
    """One sentence says what is wrong with it."""
    with pytest.raises(WrongUseError, match=says) as caught:
        fleet_of_file(written(tmp_path, text))
    assert caught.value.exit_code is ExitCode.WRONG_USE


def test_a_missing_file_says_how_to_name_it(tmp_path: Path) -> None:
    """The usual mistake is the wrong directory."""
    with pytest.raises(WrongUseError, match="start this where it is"):
        locate(Options(config_file=tmp_path / "samconfig.toml"))


class Lab(BaseHTTPRequestHandler):
    """The control port of a lab, as far as a command asks it."""

    ready: dict[str, Any]

    def do_GET(self) -> None:
        body = json.dumps(self.ready if self.path == "/ready" else {"regions": {}}).encode()
        closed = self.path == "/ready" and self.headers["Authorization"] != "Bearer k"
        self.send_response(403 if closed else 200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What a lab that runs says of itself; its control port answers."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lab)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    control = f"http://127.0.0.1:{server.server_port}"
    Lab.ready = {
        "aws_endpoint_url": "http://127.0.0.1:1",
        "credentials": {"access_key_id": "AKIA", "secret_access_key": "canary-secret"},
        "ca_file": "/ca.pem",
        "record_name": "db.orders.example",
        "dns": {"host": "127.0.0.1", "port": 53, "by_region": {}},
        "regions": {
            region: {
                "health_url": f"https://localhost:1/live/canary-token/{region}",
                "dsql": {"host": HOSTS[region], "address": "127.0.0.2", "port": 5432, "user": "ops"},
            }
            for region in (NEAR, FAR)
        },
        "ssm": {"document": "/orders/lab/dsql/document"},
        "control_url": control,
        "speed": 10.0,
    }
    yield Lab.ready
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_ready_file_is_a_deployment(ready: dict[str, Any], tmp_path: Path) -> None:
    """All its parts on this machine; and no secret in what Python shows of it."""
    path = tmp_path / "ready.json"
    path.write_text(json.dumps(ready), encoding="utf-8")
    fleet = fleet_of_lab(str(path))
    assert (fleet.service, fleet.regions, fleet.record_name) == (
        "orders-lab",
        (NEAR, FAR),
        "db.orders.example",
    )
    assert fleet.lab is not None
    assert fleet.lab.dial[HOSTS[NEAR]] == ("127.0.0.2", 5432)
    assert (fleet.lab.speed, fleet.operator_role) == (10.0, "ops")
    again = locate(Options(lab=str(path), db_user="carol"))
    assert again.operator_role == "carol"
    assert "canary" not in repr(fleet)


def test_the_lab_that_is_up_needs_no_file(
    ready: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`beacon-lab` leaves a note of it."""
    import os  # noqa: PLC0415 - only here

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    note = tmp_path / f"beacon-lab-{os.getuid()}" / "lab.json"
    note.parent.mkdir()
    note.write_text(json.dumps({"pid": 1, "started": 1, "control_url": ready["control_url"], "key": "k"}))
    assert fleet_of_lab(RUNNING_LAB).service == "orders-lab"


def test_without_a_lab_the_command_that_starts_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(FailedError, match="no lab is up") as caught:
        fleet_of_lab(RUNNING_LAB)
    assert caught.value.command == "beacon-lab up"


def test_a_ready_file_whose_lab_has_ended_says_so(ready: dict[str, Any], tmp_path: Path) -> None:
    """A lab that was killed leaves its file for a moment; a copy stays."""
    path = tmp_path / "ready.json"
    path.write_text(json.dumps(ready | {"control_url": "http://127.0.0.1:1"}), encoding="utf-8")
    with pytest.raises(FailedError, match=r"has ended, or does not answer \(Connection refused\)") as caught:
        fleet_of_lab(str(path))
    assert caught.value.command == f"beacon-lab up --ready-file {path}"


@pytest.mark.parametrize("text", ["{}", "[]", "null", "no JSON", '{"ssm": {"document": "x"}}'])
def test_a_file_that_no_lab_wrote_is_wrong_use(text: str, tmp_path: Path) -> None:
    """Named as what it should be."""
    path = tmp_path / "ready.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongUseError, match="ready file"):
        fleet_of_lab(str(path))
