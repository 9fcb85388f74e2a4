"""What the connections of one DSQL front share: its name, the logins that it admits, and its faults."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, unique
from pathlib import Path

from beacon_lab.dsql.chance import Chance
from beacon_lab.dsql.connect_limit import ConnectLimit
from beacon_lab.dsql.iam_grants import IamGrants
from beacon_lab.dsql.login_queue import LoginQueue
from beacon_lab.dsql.pgwire import Startup
from beacon_lab.dsql.principals import DbAction, Principals, Refused, TokenRefused, verify_token
from beacon_lab.dsql.relay import Disturbance
from beacon_lab.dsql.rules import Refusal, check_setting
from beacon_lab.network.tls_channel import TlsIdentity

__all__ = ["ADMIN", "FrontState", "Gate", "Slowness"]

ADMIN = "admin"
NO_TLS = Refusal("28000", "unable to accept connection, SSL is mandatory. AWS Authentication is required.")
NO_SNI = Refusal("28000", "unable to accept connection, sni was not received")
DENIED = Refusal("28000", "unable to accept connection, access denied")


@unique
class FrontState(Enum):
    """What a front does with connections at the moment."""

    HEALTHY = "healthy"
    FROZEN = "frozen"
    RESETTING = "resetting"
    DENYING = "denying"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Slowness:
    """How slowly messages reach the client: ``delay_ms`` before each.

    With ``drip_bytes``, before each piece of so many bytes instead.
    """

    delay_ms: float
    drip_bytes: int | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Gate:
    """The state of one front that its connections read."""

    region: str
    host: str
    identity: TlsIdentity
    principals: Principals
    grants: IamGrants
    #: PostgreSQL's Unix socket.
    backend: Path
    connection_limit_s: float
    clock: Callable[[], datetime] = _utc_now
    state: FrontState = FrontState.HEALTHY
    slowness: Slowness | None = None
    #: What every login is answered with, if anything.
    login_refusal: Refusal | None = None
    #: What a share of the logins is answered with, if anything.
    login_chance: Chance | None = None
    limit: ConnectLimit = field(default_factory=ConnectLimit)
    logins: LoginQueue = field(default_factory=LoginQueue)
    disturbance: Disturbance = field(default_factory=Disturbance)
    #: How many tokens were refused, by reason.
    refused_logins: dict[Refused, int] = field(default_factory=dict)

    def greet(self, server_name: str | None, startup: Startup) -> Refusal | None:
        """Why the front does not even ask for a token; None if it does."""
        if server_name is None:
            return NO_SNI
        if server_name != self.host or not startup.user:
            return DENIED
        return next(filter(None, map(check_setting, _settings(startup))), None)

    def admit(self, user: str, token: str) -> Refusal | None:
        """Why ``user`` may not log in with ``token``; None if it may, and then ``limit.leave`` ends it.

        The refusal may be ``chance.RESET``: no word, but an RST.
        """
        if self.login_refusal is not None:
            return self.login_refusal
        if self.state is FrontState.DENYING:
            return DENIED
        struck = self.login_chance.strike() if self.login_chance is not None else None
        return struck or self._verify(user, token) or self.limit.enter()

    def _verify(self, user: str, token: str) -> Refusal | None:
        action = DbAction.CONNECT_ADMIN if user == ADMIN else DbAction.CONNECT
        try:
            principal = verify_token(
                token,
                host=self.host,
                region=self.region,
                action=action,
                principals=self.principals,
                now=self.clock(),
            )
        except TokenRefused as refused:
            self.refused_logins[refused.reason] = self.refused_logins.get(refused.reason, 0) + 1
            if refused.reason is Refused.ACTION:
                other = DbAction.CONNECT if user == ADMIN else DbAction.CONNECT_ADMIN
                hint = f"Wrong user to action mapping. user: {user}, action: {other}"
                return Refusal(DENIED.sqlstate, DENIED.message, hint)
            return DENIED
        if user != ADMIN and not self.grants.allows(user, principal.arn):
            return DENIED
        return None


def _settings(startup: Startup) -> list[str]:
    """The names of the configuration parameters that a client sets at login."""
    words = startup.parameters.get("options", "").replace("\\ ", "_").split()
    given = [word.removeprefix("-c").removeprefix("--").partition("=")[0] for word in words if "=" in word]
    return [name.replace("-", "_") for name in (*given, *startup.parameters)]
