"""What a probe's end means: the outcome table.

====================================================  =========  ==============================
what happened                                         outcome    reason code
====================================================  =========  ==============================
the SELECT answered                                   pass       ``ok``
the SELECT answered; a new login met too many         pass       ``ok``, warning ``too_many_connections``
connections (53300, 53400)
the SELECT answered; new logins have been silent for  pass       ``ok``, warning ``slow_login``
less than 15 s
the SELECT answered; a new login failed by a fault    pass       ``ok``, warning: the reason code below
of ours
optimistic-concurrency conflict, twice                pass       ``conflict`` (the database is alive)
schema, table or grant of ``beacon`` missing          pass       ``ok``, warning ``intent_unreadable``
an intent that makes no sense                         pass       ``ok``, warning ``intent_unreadable``
connection refused                                    fail       ``refused``
connection reset or ended                             fail       ``reset``
no answer within the deadline                         fail       ``timeout``
name not resolved                                     fail       ``name``
TLS failed                                            fail       ``tls``
certificate not trusted, expired or of another name   fail       ``certificate``
login rejected                                        fail       ``login_rejected``
too many connections                                  fail       ``too_many_connections``
server starting, stopping or ending the session       fail       ``unavailable``
any other server error                                fail       ``server_error``
an answer that is not ours                            fail       ``bad_answer``
no credentials, cannot sign                           unknown    ``no_credentials``
bad configuration found at run time                   unknown    ``configuration``
a defect of Beacon, a sandbox out of resources        unknown    ``internal``
====================================================  =========  ==============================

No probe says the other reason codes: ``drained`` by an operator; ``deferred`` for an endpoint that should
leave and waits its turn; ``no_data`` for one that was never observed.

A new login that fails in any other way is a failure with its own row, also while an open session answers: an
application's connections begin with a login. :mod:`beacon.dsql.probe` says when a login is tried.

Sources: PostgreSQL 16 appendix A (SQLSTATE), the Aurora DSQL User Guide (OC000, OC001, connection limits).
Pure: no I/O.
"""

from __future__ import annotations

import re
from enum import Enum, StrEnum

__all__ = [
    "CONFLICT",
    "UNREADABLE",
    "ProbeOutcome",
    "Reason",
    "classify_message",
    "classify_refusal",
    "classify_sqlstate",
    "outcome_of",
]

#: SQLSTATEs of an optimistic-concurrency conflict: worth one retry, and proof of life.
CONFLICT = frozenset({"40001", "OC000", "OC001"})
#: SQLSTATEs that say the database answered but ``beacon.intent`` cannot be read.
UNREADABLE = frozenset({"42P01", "3F000", "42501"})


class ProbeOutcome(Enum):
    """What one probe says. ``UNKNOWN`` is a fault of ours and never a verdict on the endpoint."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Reason codes; the only words about a failure that ever leave the process. Each is its own text."""

    OK = "ok"
    CONFLICT = "conflict"
    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    NAME = "name"
    TLS = "tls"
    CERTIFICATE = "certificate"
    LOGIN_REJECTED = "login_rejected"
    TOO_MANY_CONNECTIONS = "too_many_connections"
    UNAVAILABLE = "unavailable"
    SERVER_ERROR = "server_error"
    BAD_ANSWER = "bad_answer"
    NO_CREDENTIALS = "no_credentials"
    CONFIGURATION = "configuration"
    INTERNAL = "internal"
    # Warnings: they go with a pass.
    INTENT_UNREADABLE = "intent_unreadable"
    SLOW_LOGIN = "slow_login"
    # What no probe says.
    DRAINED = "drained"
    DEFERRED = "deferred"
    NO_DATA = "no_data"


_PASS = frozenset({Reason.OK, Reason.CONFLICT, Reason.INTENT_UNREADABLE, Reason.SLOW_LOGIN})
_UNKNOWN = frozenset({Reason.NO_CREDENTIALS, Reason.CONFIGURATION, Reason.INTERNAL})
_UNKNOWN |= {Reason.DRAINED, Reason.DEFERRED, Reason.NO_DATA}


def outcome_of(reason: Reason) -> ProbeOutcome:
    """The outcome that ``reason`` stands for, by the module's table; unknown where no probe says it."""
    if reason in _PASS:
        return ProbeOutcome.PASS
    return ProbeOutcome.UNKNOWN if reason in _UNKNOWN else ProbeOutcome.FAIL


_SQLSTATE = {
    "53300": Reason.TOO_MANY_CONNECTIONS,
    "53400": Reason.TOO_MANY_CONNECTIONS,
    "57P01": Reason.UNAVAILABLE,
    "57P02": Reason.UNAVAILABLE,
    "57P03": Reason.UNAVAILABLE,
    "57P05": Reason.UNAVAILABLE,
}
_SQLSTATE_CLASS = {"28": Reason.LOGIN_REJECTED, "08": Reason.RESET}


def classify_sqlstate(sqlstate: str) -> Reason:
    """The reason for a server error that is neither a conflict nor an unreadable intent."""
    return _SQLSTATE.get(sqlstate) or _SQLSTATE_CLASS.get(sqlstate[:2]) or Reason.SERVER_ERROR


# No such database, and no right to it: at the login both are a rejection.
_LOGIN_CLASS = {"3D": Reason.LOGIN_REJECTED, "42": Reason.LOGIN_REJECTED}


# libpq gives no code for errors of its own, and a server may leave its own out, so the English text is all
# there is to go by (libpq's is never translated here: the wheel is built without NLS). The first match wins.

# What a server says while it refuses a login starts with its severity.
_SEVERITIES = ("fatal:", "error:", "panic:")
_REFUSALS = (
    ("access denied", Reason.LOGIN_REJECTED),
    ("ssl is mandatory", Reason.LOGIN_REJECTED),
    ("authentication failed", Reason.LOGIN_REJECTED),
    ("too many", Reason.TOO_MANY_CONNECTIONS),
    ("connection slots", Reason.TOO_MANY_CONNECTIONS),
    ("connection limit", Reason.TOO_MANY_CONNECTIONS),
    ("rate limit", Reason.TOO_MANY_CONNECTIONS),
    ("rate exceeded", Reason.TOO_MANY_CONNECTIONS),
    ("starting up", Reason.UNAVAILABLE),
    ("shutting down", Reason.UNAVAILABLE),
    ("in recovery", Reason.UNAVAILABLE),
    ("not currently accepting", Reason.UNAVAILABLE),
    ("not yet accepting", Reason.UNAVAILABLE),
    ("terminating connection", Reason.UNAVAILABLE),
)
# What libpq says itself.
_MESSAGES = (
    # Faults of ours say nothing about the endpoint: files that are not there, a sandbox out of resources.
    ("root certificate file", Reason.CONFIGURATION),
    ("root certificate paths", Reason.CONFIGURATION),
    ("could not create socket", Reason.INTERNAL),
    ("too many open files", Reason.INTERNAL),
    ("out of memory", Reason.INTERNAL),
    ("cannot assign requested address", Reason.INTERNAL),
    ("certificate", Reason.CERTIFICATE),
    ("does not match host name", Reason.CERTIFICATE),
    ("connection refused", Reason.REFUSED),
    ("no route to host", Reason.REFUSED),
    ("network is unreachable", Reason.REFUSED),
    ("reset by peer", Reason.RESET),
    ("closed the connection", Reason.RESET),
    ("closed unexpectedly", Reason.RESET),
    ("unexpected eof", Reason.RESET),
    ("broken pipe", Reason.RESET),
    ("ssl syscall error", Reason.RESET),
    ("ssl", Reason.TLS),
    ("tls", Reason.TLS),
    ("timed out", Reason.TIMEOUT),
    ("timeout", Reason.TIMEOUT),
    ("expected authentication request", Reason.BAD_ANSWER),
    ("lost synchronization", Reason.BAD_ANSWER),
    ("invalid response", Reason.BAD_ANSWER),
    ("unexpected message", Reason.BAD_ANSWER),
)


_CAUSE = re.compile(r"port [0-9]+ failed: ")


def classify_message(message: str) -> Reason:
    """The reason for a failure that libpq reports in words only (no SQLSTATE reached the client)."""
    # Everything before the cause names the host, whose random part may hold any of the fragments.
    text = _CAUSE.split(message.lower(), maxsplit=1)[-1].strip()
    if text.startswith(_SEVERITIES):
        # Any other message of a server during a login is a rejection of that login.
        return _first_match(_REFUSALS, text) or Reason.LOGIN_REJECTED
    return _first_match(_MESSAGES, text) or Reason.SERVER_ERROR


# A server's refusal of a login, in libpq's shortest form: a severity in the server's language, and the
# SQLSTATE, sometimes after the place of the error. libpq's own causes never have this form.
_REFUSAL = re.compile(r"(?:^|failed: )[^\s:]+:\s+([0-9A-Z]{5})\s*\Z")


def classify_refusal(message: str) -> tuple[Reason, str | None]:
    """Why there is no connection, by what libpq says of it: the reason, and the server's SQLSTATE if any."""
    said = _REFUSAL.search(message)
    if said is None:
        return classify_message(message), None
    return _LOGIN_CLASS.get(said[1][:2]) or classify_sqlstate(said[1]), said[1]


def _first_match(table: tuple[tuple[str, Reason], ...], text: str) -> Reason | None:
    return next((reason for fragment, reason in table if fragment in text), None)
