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
        ("something that libpq has never said", Reason.SERVER_ERROR),
    ],
)
def test_messages_are_classified_by_their_cause(text: str, reason: Reason) -> None:
    """Neither the host name before the cause nor the letters' case changes the reason."""
    assert classify_message(PREFIX + text) is reason
    assert classify_message((PREFIX + text).upper()) is reason
    assert classify_message(text) is reason
