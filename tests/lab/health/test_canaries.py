"""Canaries in host, user, credentials, SQL errors and intents: none comes out, whatever fails."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from beacon.dsql.probe import DsqlProbe
from beacon.dsql.session import Session, SessionError
from beacon.health.trigger import EdgeTrigger
from beacon_lab.dsql import pgwire
from beacon_lab.dsql.relay import Relay
from beacon_lab.faults import FaultKind

if TYPE_CHECKING:
    from tests.lab.health.conftest import Sandbox, Station

    from beacon.model import ProbeReport

pytestmark = pytest.mark.lab

CANARY = "CANARY7f3a"
Arrange = Callable[["Station"], "Sandbox"]


def broken(kind: FaultKind, **options: float) -> Arrange:
    def arrange(station: Station) -> Sandbox:
        station.inject(kind, **options)
        return station.sandbox()

    return arrange


def broken_when_open(kind: FaultKind, **options: float) -> Arrange:
    def arrange(station: Station) -> Sandbox:
        sandbox = station.warm()
        station.inject(kind, **options)
        return sandbox

    return arrange


def refused(sqlstate: str, text: str) -> Arrange:
    def arrange(station: Station) -> Sandbox:
        station.dsql.front.answer_logins_with(sqlstate, text)
        return station.sandbox()

    return arrange


def failing(sqlstate: str) -> Arrange:
    def arrange(station: Station) -> Sandbox:
        sandbox = station.warm()
        station.fail_statements(4, sqlstate, f"{CANARY} at $1")
        return sandbox

    return arrange


def certificate(**options: Any) -> Arrange:  # noqa: ANN401 - those of `issue`
    def arrange(station: Station) -> Sandbox:
        dsql = station.dsql
        shown = dsql.authority.issue(CANARY, **({"dns": [dsql.front.host]} | options))
        station.call(lambda: dsql.front.present(shown))
        return station.sandbox()

    return arrange


def tampered(tamper: Callable[[bytes], bytes]) -> Arrange:
    """Change each message of the server's on its way."""

    def arrange(station: Station) -> Sandbox:
        sandbox, whole = station.warm(), Relay.from_server
        station.patch.setattr(Relay, "from_server", lambda relay, packet: tamper(whole(relay, packet)))
        return sandbox

    return arrange


def with_notice(packet: bytes) -> bytes:
    shouted = pgwire.error_response("01000", CANARY, severity="WARNING")
    return b"N" + shouted[1:] + packet


def replaced(column: str, value: str) -> Arrange:
    """A view in the table's place, with a canary in a column that must not hold one."""

    def arrange(station: Station) -> Sandbox:
        names = ["service", "target", "region", "forced", "reason", "actor", "until"]
        columns = ", ".join(f"{value} AS {name}" if name == column else name for name in names)
        station.sql(
            "ALTER TABLE beacon.intent RENAME TO kept", undo="ALTER TABLE beacon.kept RENAME TO intent"
        )
        station.sql(
            f"CREATE VIEW beacon.intent AS SELECT {columns} FROM beacon.kept",  # noqa: S608 - ours
            "GRANT SELECT ON beacon.intent TO shop_test",
            undo="DROP VIEW beacon.intent",
        )
        return station.sandbox()

    return arrange


def with_a_lookup(lookup: Callable[[str], list[str]]) -> Arrange:
    return lambda station: station.sandbox(lookup=lookup)


def no_such_name(host: str) -> list[str]:
    raise OSError(-2, f"{CANARY} {host}")


def impossible_name(host: str) -> list[str]:
    raise UnicodeError(f"{CANARY} {host}")


def with_a_defect(station: Station) -> Sandbox:
    """An unexpected exception, with a cause, in the middle of a probe."""

    def look(_probe: DsqlProbe, _deadline: float) -> ProbeReport:
        try:
            raise KeyError(CANARY)  # noqa: TRY301 - the cause of the other
        except KeyError as error:
            raise RuntimeError(f"token {CANARY}") from error

    sandbox = station.sandbox()
    station.patch.setattr(DsqlProbe, "_look", look)
    return sandbox


def drained(station: Station) -> Sandbox:
    station.drain(reason=CANARY, actor=f"{CANARY}@example.com")
    return station.sandbox()


def without_credentials(station: Station) -> Sandbox:
    station.patch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop-test-health")
    station.patch.delenv("AWS_SECRET_ACCESS_KEY")
    return station.sandbox()


def with_another_key(station: Station) -> Sandbox:
    station.patch.setenv("AWS_SECRET_ACCESS_KEY", f"{CANARY}/wrong")
    return station.sandbox()


def with_a_broken_ca_file(station: Station) -> Sandbox:
    return station.sandbox(BEACON_CA_FILE=f"/nowhere/{CANARY}.pem")


AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)
FAULTS: dict[str, tuple[Arrange, str]] = {
    "none": (lambda station: station.sandbox(), "ok"),
    "frozen": (broken(FaultKind.DSQL_FREEZE), "timeout"),
    "frozen when open": (broken_when_open(FaultKind.DSQL_FREEZE), "timeout"),
    "refusing": (broken(FaultKind.DSQL_REFUSE), "refused"),
    "resetting": (broken(FaultKind.DSQL_RESET), "reset"),
    "resetting when open": (broken_when_open(FaultKind.DSQL_RESET), "reset"),
    "denying": (broken(FaultKind.DSQL_DENY), "login_rejected"),
    "denying when open": (broken_when_open(FaultKind.DSQL_DENY), "login_rejected"),
    "dripping": (broken_when_open(FaultKind.DSQL_SLOW, delay_ms=20, drip_bytes=1), "timeout"),
    "half-open": (broken_when_open(FaultKind.DSQL_HALFOPEN), "ok"),
    "certificate of another name": (certificate(dns=[f"{CANARY}.example".lower()]), "certificate"),
    "certificate expired": (certificate(not_after=AN_HOUR_AGO), "certificate"),
    "login 28000": (refused("28000", CANARY), "login_rejected"),
    "login 53300": (refused("53300", f"too many: {CANARY}"), "too_many_connections"),
    "login 57P03": (refused("57P03", CANARY), "unavailable"),
    "login XX000": (refused("XX000", CANARY), "server_error"),
    "statement 40001": (failing("40001"), "intent_unreadable"),
    "statement 42P01": (failing("42P01"), "intent_unreadable"),
    "statement XX000": (failing("XX000"), "server_error"),
    "statement 53300": (failing("53300"), "too_many_connections"),
    "statement 57P01": (failing("57P01"), "unavailable"),
    "notices": (tampered(with_notice), "ok"),
    "garbage": (tampered(lambda _packet: CANARY.encode() * 9), "bad_answer"),
    "unknown forced value": (replaced("forced", f"'{CANARY}'"), "intent_unreadable"),
    "value that is not one": (
        replaced("forced", f"CAST('{CANARY}' || region AS integer)::text"),
        "server_error",
    ),
    "drained": (drained, "drained"),
    "no such name": (with_a_lookup(no_such_name), "name"),
    "impossible name": (with_a_lookup(impossible_name), "name"),
    "no credentials": (without_credentials, "no_credentials"),
    "wrong credentials": (with_another_key, "login_rejected"),
    "no CA file": (with_a_broken_ca_file, "configuration"),
    "defect": (with_a_defect, "internal"),
}


@pytest.fixture
def tracebacks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each exception that leaves a session would be printed as."""
    printed: list[str] = []

    def watched(name: str) -> None:
        original = getattr(Session, name)

        def method(*arguments: object, **named: object) -> object:
            try:
                return original(*arguments, **named)
            except SessionError as error:
                printed.extend(traceback.format_exception(error))
                raise

        monkeypatch.setattr(Session, name, method)

    for name in ("start", "proceed", "query", "answer"):
        watched(name)
    return printed


@pytest.fixture
def canaries(station: Station) -> Iterator[list[str]]:
    """Credentials with canaries; and the names that must not come out either."""
    dsql = station.dsql
    signer = dsql.principals.add(
        access_key_id=f"ASIA{CANARY.upper()}",
        secret_access_key=f"{CANARY}/secret",
        session_token=f"{CANARY}/session+token",
        arn=dsql.function.arn,
    )
    assert signer.session_token is not None
    station.patch.setenv("AWS_ACCESS_KEY_ID", signer.access_key_id)
    station.patch.setenv("AWS_SECRET_ACCESS_KEY", signer.secret_access_key)
    station.patch.setenv("AWS_SESSION_TOKEN", signer.session_token)
    identifier = dsql.front.host.partition(".")[0]
    yield [
        CANARY.lower(),
        identifier,
        dsql.login_role,
        "x-amz",
        "dsql.us-east-1",
        dsql.front.address,
        "select ",
    ]
    dsql.principals.remove(signer.access_key_id)


@pytest.mark.parametrize("fault", list(FAULTS))
def test_no_canary_comes_out(
    station: Station,
    canaries: list[str],
    tracebacks: list[str],
    capfd: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    """Not in a body or header, not on either output, not in an exception with all that hangs on it."""
    arrange, reason = FAULTS[fault]
    sent: list[bytes] = []
    capfd.readouterr()
    sandbox = arrange(station)
    sandbox.check._trigger = EdgeTrigger(sent.append)
    answers = [sandbox.ask() for _ in range(2)]
    assert answers[0].reason == reason
    captured = capfd.readouterr()
    assert captured.err == ""
    for line in captured.out.splitlines():
        json.loads(line)
    everything = [
        json.dumps([answer.result for answer in answers]),
        captured.out,
        *tracebacks,
        *map(repr, sent),
    ]
    for canary in canaries:
        for text in everything:
            assert canary not in text.lower()


def test_the_canaries_would_have_been_seen(station: Station, canaries: list[str]) -> None:
    """They are what the function works with."""
    sandbox = station.sandbox()
    assert sandbox.ask().reason == "ok"
    probe = sandbox.check._probe
    assert isinstance(probe, DsqlProbe)
    assert canaries[1] in probe._connector._endpoint.host
    assert probe._context.settings.db_user in canaries
    credentials = probe._context.credentials()
    assert CANARY in credentials.secret_access_key
    assert CANARY in str(credentials.session_token)
    assert CANARY not in f"{credentials!r}{credentials}"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == credentials.secret_access_key
