"""Readers that fail alone: their limit, their sentences, and name servers that are silent or strange."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from tests.unit.cli.situations import FAR, HOSTS, NEAR

from beacon.aws.credentials import NoCredentialsError as MissingError
from beacon_cli.aws_failures import aws_error, sentence_of
from beacon_cli.errors import ExitCode
from beacon_cli.fleet import Fleet, LabPlaces, Site
from beacon_cli.readers.assemble import Look
from beacon_cli.readers.forced import read_forced
from beacon_cli.readers.parallel import gather
from beacon_cli.readers.published import read_published
from beacon_cli.readers.record import read_authoritative
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Known, Unknown
from beacon_cli.situation.settings import targets_of, timings_of


def client_error(code: str, message: str = "") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "GetParameters")


def test_what_is_not_there_in_time_is_unknown_and_holds_up_nothing() -> None:
    """The others are there."""
    never = threading.Event()
    began = time.monotonic()
    found = gather({"quick": lambda: 1, "SSM of us-east-1": lambda: never.wait(30)}, 0.2)
    assert time.monotonic() - began < 5
    never.set()
    assert found == {"quick": 1, "SSM of us-east-1": Unknown("SSM of us-east-1 did not answer within 0.2 s")}


def test_a_defect_of_a_reader_costs_its_own_fact_alone() -> None:
    """By its type: the text of an exception may hold a secret."""

    def broken() -> object:
        raise KeyError("a secret")

    found = gather({"SSM of us-east-1": broken, "quick": lambda: 1}, 5)
    assert found == {"SSM of us-east-1": Unknown("SSM of us-east-1 failed: KeyError"), "quick": 1}


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TokenRetrievalError(provider="sso", error_msg="x"), "the AWS login has expired"),
        (UnauthorizedSSOTokenError(), "the AWS login has expired"),
        (CredentialRetrievalError(provider="sso", error_msg="x"), "there are no AWS credentials"),
        (MissingError("there are none"), "there are no AWS credentials"),
        (client_error("ExpiredToken"), "the AWS session has expired"),
    ],
)
def test_a_login_that_expires_during_a_watch_costs_the_intents_alone(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The credentials are read again at each look."""

    def expired(*_: object, **__: object) -> None:
        raise error

    # What signing a token raises passes through the client as it is.
    monkeypatch.setattr("beacon_cli.readers.forced.database", expired)
    assert read_forced(Sessions(fleet()), 2) == Unknown(f"the database was not asked: {says}")


def test_a_profile_that_is_missing_costs_its_region_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A look prepares every Region's clients, and the readers of that Region say why they have none."""
    (tmp_path / "config").write_text("[default]\nregion = us-east-1\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    near, far = fleet().sites
    sessions = Sessions(replace(fleet(), lab=None, sites=(near, replace(far, profile="prd"))))
    Look(sessions, 1)._prepare()
    assert read_published(sessions, FAR) == Unknown(
        "SSM of us-east-2 was not asked: there is no AWS profile 'prd'"
    )
    assert sessions.ssm(NEAR).meta.region_name == NEAR


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (client_error("Throttling"), "S rejects requests as too many (throttled): look again in a moment"),
        (client_error("ExpiredToken"), "S was not asked: the AWS session has expired"),
        (
            client_error(
                "AccessDenied", "User: arn:aws:iam::1:user/x is not authorized to perform: ssm:Get on r"
            ),
            "S may not be read: your role lacks ssm:Get",
        ),
        (client_error("AccessDeniedException"), "S may not be read: your role lacks the permission"),
        (
            client_error("UnrecognizedClientException"),
            "S does not know your credentials (UnrecognizedClientException)",
        ),
        (client_error("InternalServerError", "x"), "S fails (InternalServerError)"),
        (
            client_error("NoSuchHealthCheck", "no /live/canary/health"),
            "S answers NoSuchHealthCheck: no /live/***/health",
        ),
        (client_error("Odd"), "S answers Odd"),
        (ReadTimeoutError(endpoint_url="https://x"), "S does not answer"),
        (ConnectTimeoutError(endpoint_url="https://x"), "S does not answer"),
        (EndpointConnectionError(endpoint_url="https://x"), "S cannot be reached"),
        (NoCredentialsError(), "S was not asked: there are no AWS credentials"),
        (UnauthorizedSSOTokenError(), "S was not asked: the AWS login has expired"),
        (BotoCoreError(), "S cannot be asked: BotoCoreError"),
    ],
)
def test_a_failed_call_is_one_sentence(error: Exception, says: str) -> None:
    """Fit for a screen: no path token, no host."""
    assert sentence_of(error, "S") == says


@pytest.mark.parametrize(
    ("error", "command", "code"),
    [
        (ProfileNotFound(profile="prd"), "aws configure list-profiles", ExitCode.WRONG_USE),
        (SSOTokenLoadError(error_msg="x"), "aws sso login --profile prd", ExitCode.WRONG_USE),
        (client_error("ExpiredToken"), "aws sso login --profile prd", ExitCode.WRONG_USE),
        (NoCredentialsError(), "aws configure sso --profile prd", ExitCode.WRONG_USE),
        (client_error("Throttling"), "aws sts get-caller-identity --profile prd", ExitCode.FAILED),
    ],
)
def test_a_command_that_cannot_continue_names_the_command_that_helps(
    error: Exception, command: str, code: ExitCode
) -> None:
    """With the profile."""
    ended = aws_error(error, "AWS", "prd")
    assert (ended.command, ended.exit_code) == (command, code)


def fleet(port: int = 53) -> Fleet:
    sites = tuple(Site(region, "shop-test", HOSTS[region]) for region in (NEAR, FAR))
    lab = LabPlaces("http://x", "http://y", "k", "s", "ca", ("127.0.0.1", port), {}, {}, speed=10)
    return Fleet("shop", "test", sites, "a test", record_name="db.shop.test", lab=lab)


@contextmanager
def name_server(answer: Callable[[dns.message.Message], dns.message.Message | None]) -> Iterator[int]:
    """A DNS server that gives ``answer``, or none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    data, peer = server.recvfrom(512)
                except TimeoutError:
                    continue
                made = answer(dns.message.from_wire(data))
                if made is not None:
                    server.sendto(made.to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def cname(query: dns.message.Message, target: str) -> dns.message.Message:
    made = dns.message.make_response(query)
    made.answer.append(dns.rrset.from_text(query.question[0].name, 10, "IN", "CNAME", target))
    return made


def alias(query: dns.message.Message) -> dns.message.Message:
    made = dns.message.make_response(query)
    if query.question[0].rdtype == 1:
        made.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.7"))
    return made


def refused(query: dns.message.Message) -> dns.message.Message:
    made = dns.message.make_response(query)
    made.set_rcode(dns.rcode.NXDOMAIN)
    return made


def test_the_record_leads_to_a_region() -> None:
    """By the name that it answers with."""
    with name_server(lambda query: cname(query, f"{HOSTS[FAR]}.")) as port:
        found = read_authoritative(fleet(port), {HOSTS[FAR]: FAR}, 2)
    assert isinstance(found, Known)
    assert (found.value.region, found.value.ttl_s, found.value.target) == (FAR, 10, HOSTS[FAR])


def test_an_alias_answers_with_an_address() -> None:
    """Which belongs to no Region by its name."""
    with name_server(alias) as port:
        found = read_authoritative(fleet(port), {HOSTS[FAR]: FAR}, 2)
    assert isinstance(found, Known)
    assert (found.value.region, found.value.target) == ("", "192.0.2.7")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _: None, "the zone's name server does not answer for db.shop.test"),
        (refused, r"the zone's name server has no db.shop.test: the record is not on \(NXDOMAIN\)"),
        (dns.message.make_response, r"has no db.shop.test: the record is not on \(NOERROR\)"),
    ],
)
def test_a_name_server_without_an_answer_is_one_sentence(
    answer: Callable[[dns.message.Message], dns.message.Message | None], says: str
) -> None:
    """Silent, or the record is not there."""
    with name_server(answer) as port:
        found = read_authoritative(fleet(port), {}, 0.5)
    assert isinstance(found, Unknown)
    assert re.search(says, found.why)


GIVEN = {
    "RequestInterval": "10",
    "FailureThreshold": "3",
    "ProbeDeadlineMs": "1000",
    "Fall": "5",
    "Rise": "2",
    "FailbackHoldSeconds": "9",
    "PublishEverySeconds": "60",
    "CheckerRegions": "us-east-1,us-west-2,eu-west-1",
}


def test_predictions_go_by_the_stacks_parameters_and_the_lab_s_speed() -> None:
    """A lab's hold is short in its stack already."""
    timings = timings_of(fleet(), {NEAR: {"Fall": "x"}, FAR: GIVEN})
    assert timings is not None
    assert (timings.interval_s, timings.publish_every_s, timings.failback_hold_s) == (1, 6, 9)
    assert timings.checkers == 6
    assert timings_of(fleet(), {NEAR: {}, FAR: {}}) is None


def test_a_record_may_lead_to_an_application_s_own_name() -> None:
    """RecordTarget, with or without the dot at its end; and to the database's endpoint in any case."""
    targets = targets_of(fleet(), {NEAR: {"RecordTarget": "app.near.example."}})
    assert targets == {"app.near.example": NEAR, HOSTS[NEAR]: NEAR, HOSTS[FAR]: FAR}
