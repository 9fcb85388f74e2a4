"""One Region's Aurora DSQL endpoint: TLS, SNI and IAM tokens before the lab's PostgreSQL, and its faults.

| fault | open connections | new connections | after ``heal`` |
| --- | --- | --- | --- |
| dsql-refuse | RST | refused | new ones work |
| dsql-freeze | silent | accepted, then silent | stalled ones get RST, new ones work |
| dsql-slow | each message from the server is late | the same | at full speed |
| dsql-reset | RST | accepted, RST at the first byte | new ones work |
| dsql-deny | terminated | login refused with 28000 | new ones work |
| dsql-halfopen | swallow every byte until they end | work | nothing changes |
| dsql-silent | silent | log in, then silent | stalled ones get RST, new ones work |
| dsql-login | work | a share fails at login: XX000, RST or 28000 | new ones work |
| dsql-overload | work | a share fails at login: 53400 or 53300 | new ones work |
| dsql-flaky | a share of the statements fails or is never answered | the same | stalled ones get RST |
| dsql-commit | a share of the commits of a write fails or is never answered | the same | the same |
| dsql-far | from other Regions: swallow every byte, or RST | the same, or refused | RST, new ones work |

AWS does not document the errors of its experiment aws:dsql:cluster-connection-failure. The AWS FIS User
Guide says only "elevated cluster connection error rates" for 1-100 %. So dsql-login offers the ways in
which a login can fail.
"""

import asyncio
import socket
from collections.abc import Callable
from datetime import datetime

from beacon_lab.dsql.chance import HANG, RESET, Chance
from beacon_lab.dsql.client_connection import ClientConnection
from beacon_lab.dsql.connect_limit import RATE_EXCEEDED, TOO_MANY, ConnectLimit
from beacon_lab.dsql.gate import DENIED, FrontState, Gate, Slowness
from beacon_lab.dsql.iam_grants import IamGrants
from beacon_lab.dsql.postgres import Postgres
from beacon_lab.dsql.principals import Principals
from beacon_lab.dsql.relay import COMMIT_FAILED, STATEMENT_FAILED, Disturbance
from beacon_lab.dsql.rules import Refusal
from beacon_lab.faults import WHOLE, Extent, FaultKind
from beacon_lab.network import tcp
from beacon_lab.network.distance import DistantListener
from beacon_lab.network.pki import Certificate
from beacon_lab.network.tls_channel import TlsIdentity

__all__ = ["DsqlFront"]

SLOW_MS = 300.0
# Aurora DSQL ends a connection after an hour.
CONNECTION_LIMIT_S = 3600.0
_LOGIN_FAILED = Refusal("XX000", "unable to accept connection, internal error")

# What new connections meet, and what is done to the open ones.
_STATES = {
    FaultKind.DSQL_FREEZE: (FrontState.FROZEN, ClientConnection.freeze),
    FaultKind.DSQL_RESET: (FrontState.RESETTING, ClientConnection.reset),
    FaultKind.DSQL_SILENT: (FrontState.SILENT, ClientConnection.silence),
    FaultKind.DSQL_DENY: (FrontState.DENYING, ClientConnection.terminate),
}
# What a share of the logins, statements or commits meets, by the fault and its way.
_OUTCOMES = {
    (FaultKind.DSQL_LOGIN, "error"): _LOGIN_FAILED,
    (FaultKind.DSQL_LOGIN, "reset"): RESET,
    (FaultKind.DSQL_LOGIN, "denied"): DENIED,
    (FaultKind.DSQL_OVERLOAD, "rate"): RATE_EXCEEDED,
    (FaultKind.DSQL_OVERLOAD, "connections"): TOO_MANY,
    (FaultKind.DSQL_FLAKY, "error"): STATEMENT_FAILED,
    (FaultKind.DSQL_FLAKY, "hang"): HANG,
    (FaultKind.DSQL_COMMIT, "error"): COMMIT_FAILED,
    (FaultKind.DSQL_COMMIT, "hang"): HANG,
}


class DsqlFront:
    """A DSQL endpoint on ``address`` and ``port`` that calls itself ``host``.

    ``principals`` and ``grants`` are shared by the fronts of one cluster. Port 0 takes a free one; it stays
    the same for the front's life, also while connections are refused. Use it in the event loop that started
    it.
    """

    def __init__(
        self,
        *,
        region: str,
        host: str,
        certificate: Certificate,
        postgres: Postgres,
        principals: Principals,
        grants: IamGrants,
        address: str = "127.0.0.1",
        port: int = 0,
        connection_limit_s: float = CONNECTION_LIMIT_S,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.region = region
        self.host = host
        self.address = address
        self._wanted_port = port
        self._certificate = certificate
        self._gate = Gate(
            region=region,
            host=host,
            identity=TlsIdentity(certificate),
            principals=principals,
            grants=grants,
            backend=postgres.socket_path,
            connection_limit_s=connection_limit_s,
        )
        if clock is not None:
            self._gate.clock = clock
        self._open_connections: set[ClientConnection] = set()
        self._reserved: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._distant: list[DistantListener] = []

    @property
    def port(self) -> int:
        """The TCP port. Raises RuntimeError before the start."""
        if self._reserved is None:
            raise RuntimeError("the front was not started")
        return int(self._reserved.getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._open_connections)

    @property
    def disturbance(self) -> Disturbance:
        """Conflicts and errors that the next statements meet; set its fields."""
        return self._gate.disturbance

    @property
    def connect_limit(self) -> ConnectLimit:
        """The limit on new logins, DSQL's own by default; ``refit`` changes it."""
        return self._gate.limit

    async def start(self) -> None:
        """Listen. Raises OSError if the port is in use."""
        self._reserved = tcp.reserve(self.address, self._wanted_port)
        await self._open()

    async def stop(self) -> None:
        """Close everything; no error if it was not started."""
        if self._server is not None:
            # asyncio leaves a client unclosed that it has accepted and not connected when its server closes.
            # So the front first stops to accept, and then lets the loop connect the clients that it accepted.
            for listening in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            await _turns()
        self._close()
        await self._reset_connections()
        await asyncio.gather(*(distant.stop() for distant in self._distant))
        self._distant.clear()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        # Connections to PostgreSQL that were just given up are closed in the loop's next turns.
        await _turns()

    async def _reset_connections(self) -> None:
        still_open = list(self._open_connections)
        for connection in still_open:
            connection.reset()
        await asyncio.gather(*(connection.closed for connection in still_open))

    async def add_listener(self, delay_ms: float) -> int:
        """Open a second port for callers that are ``delay_ms`` of round trip away; return the port."""
        distant = DistantListener(self.address, (self.address, self.port), delay_ms)
        await distant.start()
        if self._server is None:
            distant.close()
        self._distant.append(distant)
        return distant.port

    async def inject(
        self,
        kind: FaultKind,
        extent: Extent = WHOLE,
        *,
        delay_ms: float = SLOW_MS,
        drip_bytes: int | None = None,
    ) -> None:
        """Break the endpoint; another fault replaces the one before, and ``dsql-halfopen`` adds to it.

        ``delay_ms`` and ``drip_bytes`` are for ``dsql-slow``: a delay before each message, or before each
        piece of that many bytes. Raises ValueError for a fault or an extent that is not the front's.
        """
        if not kind.is_dsql:
            raise ValueError(f"a DSQL front cannot carry out {kind}")
        extent = extent.of(kind)
        if kind is FaultKind.DSQL_HALFOPEN:
            for connection in list(self._open_connections):
                connection.swallow()
            return
        await self.heal()
        if kind in _STATES:
            self._gate.state, strike = _STATES[kind]
            self._each(strike)
        elif (outcome := _OUTCOMES.get((kind, extent.way))) is not None:
            self._strike_a_share(kind, Chance(outcome, share_pct=extent.share_pct, seed=extent.seed))
        elif kind is FaultKind.DSQL_REFUSE:
            self._close()
            self._each(ClientConnection.reset)
        elif kind is FaultKind.DSQL_FAR:
            for distant in self._distant:
                distant.close() if extent.way == "refuse" else distant.cut()
        else:
            self._gate.slowness = Slowness(delay_ms, drip_bytes)

    async def heal(self) -> None:
        """End the fault, and what the tests' own switches below have set; no error if there is none."""
        self._gate.state = FrontState.HEALTHY
        self._gate.slowness = None
        self._gate.login_refusal = self._gate.login_chance = None
        self.disturbance.clear()
        self.present(self._certificate)
        for connection in list(self._open_connections):
            if connection.stalled:
                connection.reset()
            else:
                connection.quicken()
        if self._server is None and self._reserved is not None:
            await self._open()
        for distant in self._distant:
            await distant.mend()

    def answer_logins_with(self, sqlstate: str, message: str) -> None:
        """Refuse every login so (53300, 53400, 57P03 ...) until ``heal``."""
        self._gate.login_refusal = Refusal(sqlstate, message)

    def present(self, certificate: Certificate) -> None:
        """Show another certificate to new connections, until ``heal``."""
        self._gate.identity = TlsIdentity(certificate)

    def _strike_a_share(self, kind: FaultKind, chance: Chance) -> None:
        match kind:
            case FaultKind.DSQL_FLAKY:
                self.disturbance.statements = chance
            case FaultKind.DSQL_COMMIT:
                self.disturbance.commits = chance
            case _:
                self._gate.login_chance = chance

    def _each(self, act: Callable[[ClientConnection], None]) -> None:
        for connection in list(self._open_connections):
            act(connection)

    async def _open(self) -> None:
        self._server = await tcp.listen(self._new_connection, self.address, self.port)
        for distant in self._distant:
            await distant.start()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for distant in self._distant:
            distant.close()

    def _new_connection(self) -> ClientConnection:
        return ClientConnection(self._gate, self._open_connections)


async def _turns() -> None:
    """Let the loop do what is due now, and what that makes due."""
    for _ in range(3):
        await asyncio.sleep(0)
