"""The outcome table: each row of the module's docstring, and the texts behind the reasons."""

import re

import pytest

import beacon.outcome
from beacon.outcome import (
    CONFLICT,
    UNREADABLE,
    ProbeOutcome,
    Reason,
    classify_message,
    classify_refusal,
    classify_sqlstate,
    outcome_of,
)

HOST = "fatalcertificatetimedoutss.dsql.us-east-1.on.aws"
PREFIX = f'connection to server at "{HOST}" (127.0.0.1), port 5432 failed: '


def documented_rows() -> list[tuple[str, str]]:
    """(outcome, reason code) of each row of the table in the docstring."""
    found = re.findall(r"  (pass|fail|unknown)\s+``([a-z_]+)``", beacon.outcome.__doc__ or "")
    assert len(found) >= 18
    return found


@pytest.mark.parametrize(("outcome", "code"), documented_rows())
def test_each_row_of_the_table_holds(outcome: str, code: str) -> None:
    """A reason code stands for the outcome that its row says."""
    assert outcome_of(Reason(code)) is ProbeOutcome(outcome)


def test_the_docstring_names_every_reason() -> None:
    """No reason code is left out of the documentation; a warning stands beside its pass."""
    documented = set(re.findall(r"``([a-z_]+)``", beacon.outcome.__doc__ or ""))
    assert documented - {"beacon"} == set(Reason)


def test_the_special_sqlstates_are_the_designs() -> None:
    """A conflict is proof of life; a missing schema, table or grant leaves the intent unreadable."""
    assert {"40001", "OC000", "OC001"} == CONFLICT
    assert {"42P01", "3F000", "42501"} == UNREADABLE


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("53300", Reason.TOO_MANY_CONNECTIONS),
        ("53400", Reason.TOO_MANY_CONNECTIONS),
        ("28000", Reason.LOGIN_REJECTED),
        ("28P01", Reason.LOGIN_REJECTED),
        ("57P01", Reason.UNAVAILABLE),
        ("57P02", Reason.UNAVAILABLE),
        ("57P03", Reason.UNAVAILABLE),
        ("57P05", Reason.UNAVAILABLE),
        ("08006", Reason.RESET),
        ("XX000", Reason.SERVER_ERROR),
        ("53100", Reason.SERVER_ERROR),
        ("", Reason.SERVER_ERROR),
    ],
)
def test_sqlstates_are_classified(sqlstate: str, reason: Reason) -> None:
    """A server error has the reason of its SQLSTATE or of its class."""
    assert classify_sqlstate(sqlstate) is reason


@pytest.mark.parametrize(
    ("sqlstate", "reason"),
    [
        ("3D000", Reason.LOGIN_REJECTED),
        ("42501", Reason.LOGIN_REJECTED),
        ("28P01", Reason.LOGIN_REJECTED),
        ("53300", Reason.TOO_MANY_CONNECTIONS),
        ("57P03", Reason.UNAVAILABLE),
        ("08P01", Reason.RESET),
        ("XX000", Reason.SERVER_ERROR),
    ],
)
@pytest.mark.parametrize("form", ["FATAL:  {}", PREFIX + "FATAL:  {}\n", PREFIX + "SCHWERWIEGEND:  {}"])
def test_a_refusal_is_classified_by_its_sqlstate(sqlstate: str, reason: Reason, form: str) -> None:
    """A database that is not there, or that the role may not use, is a rejection of the login."""
    assert classify_refusal(form.format(sqlstate)) == (reason, sqlstate)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Connection refused", Reason.REFUSED),
        ("FATAL:  password authentication failed", Reason.LOGIN_REJECTED),
        ("FATAL:  28P01 and more", Reason.LOGIN_REJECTED),
        ("", Reason.SERVER_ERROR),
    ],
)
def test_a_refusal_without_an_sqlstate_is_classified_by_its_words(text: str, reason: Reason) -> None:
    """There is no SQLSTATE to report then."""
    assert classify_refusal(PREFIX + text) == (reason, None)


def test_what_a_server_says_is_read_from_the_first_cause_on() -> None:
    """It may quote another failure in the words of libpq."""
    text = PREFIX + "FATAL:  the upstream at port 5432 failed: timeout, port 5433 failed: timeout"
    assert classify_message(text) is Reason.LOGIN_REJECTED


@pytest.mark.parametrize("reason", [Reason.DRAINED, Reason.DEFERRED, Reason.NO_DATA])
def test_a_code_that_no_probe_says_stands_for_no_verdict(reason: Reason) -> None:
    """It is in a document, beside an endpoint's state."""
    assert outcome_of(reason) is ProbeOutcome.UNKNOWN


def test_a_reason_code_is_its_name_in_lower_case() -> None:
    """Codes are published, so that a new spelling breaks a consumer."""
    assert {reason.name.lower() for reason in Reason} == set(Reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Connection refused\n\tIs the server running on that host?", Reason.REFUSED),
        ("No route to host", Reason.REFUSED),
        ("Connection reset by peer", Reason.RESET),
        ("server closed the connection unexpectedly\n\tThis probably means ...", Reason.RESET),
        ("SSL SYSCALL error: EOF detected", Reason.RESET),
        ("SSL error: unexpected eof while reading", Reason.RESET),
        ("SSL connection has been closed unexpectedly", Reason.RESET),
        ("could not receive data from server: Connection timed out", Reason.TIMEOUT),
        ("SSL error: certificate verify failed", Reason.CERTIFICATE),
        (f'server certificate for "other" does not match host name "{HOST}"', Reason.CERTIFICATE),
        ("SSL error: wrong version number", Reason.TLS),
        ("direct SSL connection was established without ALPN protocol negotiation extension", Reason.TLS),
        ('FATAL:  password authentication failed for user "x"', Reason.LOGIN_REJECTED),
        ("FATAL:  unable to accept connection, access denied", Reason.LOGIN_REJECTED),
        ("ERROR:  unable to accept connection, access denied", Reason.LOGIN_REJECTED),
        ("FATAL:  unable to accept connection, SSL is mandatory.", Reason.LOGIN_REJECTED),
        ('FATAL:  role "certificate timeout" does not exist', Reason.LOGIN_REJECTED),
        ("FATAL:  sorry, too many clients already", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  remaining connection slots are reserved for roles", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  the database system is starting up", Reason.UNAVAILABLE),
        ("FATAL:  the database system is shutting down", Reason.UNAVAILABLE),
        ("FATAL:  the database system is not yet accepting connections", Reason.UNAVAILABLE),
        ('root certificate file "/certificate/refused" does not exist', Reason.CONFIGURATION),
        ("could not create socket: Too many open files", Reason.INTERNAL),
        ("out of memory", Reason.INTERNAL),
        ("could not load system root certificate paths: No such file", Reason.CONFIGURATION),
        ("could not create socket: Address family not supported", Reason.INTERNAL),
        ("could not receive data: Too many open files", Reason.INTERNAL),
        ("Cannot assign requested address", Reason.INTERNAL),
        ("Network is unreachable", Reason.REFUSED),
        ("server closed the connection", Reason.RESET),
        ("could not send data to server: Broken pipe", Reason.RESET),
        ("the other end closed unexpectedly", Reason.RESET),
        ("unexpected EOF", Reason.RESET),
        ("certificate verify failed", Reason.CERTIFICATE),
        ('the name does not match host name "other"', Reason.CERTIFICATE),
        ("TLS handshake failed", Reason.TLS),
        ("timeout expired", Reason.TIMEOUT),
        ("expected authentication request from server, but received H", Reason.BAD_ANSWER),
        ("lost synchronization with server: got message type H, length 5", Reason.BAD_ANSWER),
        ("received invalid response to GSSAPI negotiation: H", Reason.BAD_ANSWER),
        ("unexpected message from server during startup", Reason.BAD_ANSWER),
        ("FATAL:  connection limit exceeded for non-superusers", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  unable to accept connection, rate limit reached", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  unable to accept connection, connection rate exceeded", Reason.TOO_MANY_CONNECTIONS),
        ("FATAL:  the database system is in recovery mode", Reason.UNAVAILABLE),
        ('FATAL:  database "postgres" is not currently accepting connections', Reason.UNAVAILABLE),
        ("FATAL:  terminating connection due to administrator command", Reason.UNAVAILABLE),
        ("PANIC:  the database system is shutting down", Reason.UNAVAILABLE),
        ("PANIC:  connection refused", Reason.LOGIN_REJECTED),
        # A rejection stays one whatever the role or the explanation is called.
        ("FATAL:  access denied, too many attempts", Reason.LOGIN_REJECTED),
        ("FATAL:  SSL is mandatory, connection limit or not", Reason.LOGIN_REJECTED),
        ('FATAL:  password authentication failed for user "too many"', Reason.LOGIN_REJECTED),
        ("something that libpq has never said", Reason.SERVER_ERROR),
    ],
)
def test_messages_are_classified_by_their_cause(text: str, reason: Reason) -> None:
    """Neither the host name before the cause nor the letters' case changes the reason."""
    assert classify_message(PREFIX + text) is reason
    assert classify_message((PREFIX + text).upper()) is reason
    assert classify_message(text) is reason
