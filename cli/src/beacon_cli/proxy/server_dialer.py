"""How the proxy reaches a server: the client's choice and its race, with logins of the proxy's own."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from beacon.aws.sigv4 import Credentials
from beacon.client.dialer import Dialing
from beacon.client.endpoints import Endpoints
from beacon.dsql.token import sign_token
from beacon.model import Endpoint
from beacon_cli.proxy.server_login import ServerLogin
from beacon_cli.proxy.wire import startup_message

__all__ = ["ServerDialer"]

_ADMIN = "admin"


class ServerDialer(Dialing[ServerLogin]):
    """Logs in with the parameters of one client's StartupMessage."""

    def __init__(
        self, endpoints: Endpoints, timeout_s: float, context: ssl.SSLContext, parameters: Mapping[str, str]
    ) -> None:
        super().__init__(endpoints, timeout_s)
        self._context = context
        self._user = parameters["user"]
        self._startup = startup_message(parameters)

    def is_own_fault(self, login: ServerLogin) -> bool:
        """A client's role, database or parameters are no fault of the endpoint, for the other clients."""
        return login.rejected

    def start_login(self, endpoint: Endpoint, address: str, credentials: Credentials) -> ServerLogin:
        """See :class:`~beacon.client.dialer.Dialing`."""
        now, admin = self.surroundings.now(), self._user == _ADMIN
        token = sign_token(endpoint.host, endpoint.region, credentials, now, admin=admin)
        return ServerLogin((address, endpoint.dial_port), endpoint.host, self._context, self._startup, token)
