"""Where AWS credentials come from: the environment in Lambda, botocore's own chain elsewhere."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from beacon.token import Credentials

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["CredentialChain", "NoCredentialsError", "find_credentials"]

#: From when on credentials of botocore's chain are looked at again in the background, and up to when they are
#: used without waiting for that. botocore hands out none that have less than ten minutes to live unless it
#: fails to renew them, so none is used beyond its life.
_LOOK_AGAIN_S, _SURE_S = 60.0, 540.0
#: How long a caller waits for renewal when what is known may be past its life.
_RENEW_S = 1.0


class NoCredentialsError(Exception):
    """There is nothing to sign with. It is our own fault and never says anything about an endpoint."""


def find_credentials(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return the present credentials, read anew at each call; raise :class:`NoCredentialsError`.

    Lambda puts them into the environment. Elsewhere botocore's chain is asked, which is imported only then.
    """
    return _from_environment(environment) or _from_session(_new_session())


class CredentialChain:
    """The same for who connects often: botocore's chain is set up once, and asked in the background.

    So a connect waits for STS or an instance's metadata the first time alone; while they are down, the last
    credentials are used to the end of their life. Safe to use from several threads.
    """

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._known: Credentials | None = None
        self._known_at = 0.0
        self._renewal: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """Whether a call would return without asking anybody."""
        return self._known is not None or _from_environment(self._environment) is not None

    def __call__(self) -> Credentials:
        """Return credentials; raise :class:`NoCredentialsError`."""
        found = _from_environment(self._environment)
        if found is not None:
            return found
        if self._known is None:
            return self._ask()
        age_s = self._clock() - self._known_at
        if age_s >= _LOOK_AGAIN_S:
            renewal = self._renew()
            if age_s >= _SURE_S:
                renewal.join(_RENEW_S)
        return self._known

    def _renew(self) -> threading.Thread:
        with self._lock:
            if self._renewal is None or not self._renewal.is_alive():
                self._renewal = threading.Thread(target=self._try, name="beacon-credentials", daemon=True)
                self._renewal.start()
            return self._renewal

    def _try(self) -> None:
        # A thread's edge: what is known goes on being used.
        with contextlib.suppress(Exception):
            self._ask()

    def _ask(self) -> Credentials:
        if self._session is None:
            self._session = _new_session()
        found = _from_session(self._session)
        self._known, self._known_at = found, self._clock()
        return found


def _from_environment(environment: Mapping[str, str]) -> Credentials | None:
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret, environment.get("AWS_SESSION_TOKEN") or None)
    if "AWS_LAMBDA_FUNCTION_NAME" in environment:
        # Asking botocore here would cost half a second to learn the same.
        raise NoCredentialsError("the execution role's credentials are missing from the environment")
    return None


def _new_session() -> Session:
    try:
        from botocore.session import Session  # noqa: PLC0415 - heavy, and not needed in Lambda
    except ImportError:
        raise NoCredentialsError("no credentials in the environment, and botocore is not installed") from None
    return Session()


def _from_session(session: Session) -> Credentials:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as above

    try:
        found = session.get_credentials()
        if found is None:
            raise NoCredentialsError("no AWS credentials found; see `aws configure list`")
        frozen = found.get_frozen_credentials()
    except BotoCoreError as error:
        raise NoCredentialsError(f"AWS credentials cannot be used: {type(error).__name__}") from None
    if not frozen.access_key or not frozen.secret_key:
        raise NoCredentialsError("the AWS credentials found are incomplete")
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
