"""Where AWS credentials come from: the environment in Lambda, botocore's own chain elsewhere."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from beacon.aws.sigv4 import Credentials
from beacon.suspend_clock import suspend_aware

if TYPE_CHECKING:
    from botocore.session import Session

__all__ = ["CredentialChain", "NoCredentialsError", "find_credentials"]

#: From when on credentials of botocore's chain are looked at again in the background, and up to when they are
#: used without waiting for that. botocore hands out none that have less than ten minutes to live unless it
#: fails to renew them, so none is used beyond its life.
_LOOK_AGAIN_S, _SURE_S = 60.0, 540.0
#: How long a renewal is waited for when what is known may be past its life, and how far apart renewals are.
_RENEW_S = 1.0


class NoCredentialsError(Exception):
    """There is nothing to sign with. It is our own fault and never says anything about an endpoint."""


def find_credentials(environment: Mapping[str, str] | None = None) -> Credentials:
    """Return the present credentials, read again at each call; raise :class:`NoCredentialsError`.

    Lambda puts them into the environment. Elsewhere botocore's chain gives them, and is imported only then.
    """
    # Not a default value: help() would show the environment with its secrets.
    found = _from_environment(os.environ if environment is None else environment)
    return found or _from_session(_new_session())


class CredentialChain:
    """The same for a client that connects often: botocore's chain is set up once, and read in the background.

    So only the first connect waits for STS or an instance's metadata. While those are down, the client uses
    the last credentials until they expire. Safe to use from several threads.
    """

    def __init__(
        self, environment: Mapping[str, str] | None = None, clock: Callable[[], float] = suspend_aware
    ) -> None:
        self._environment = os.environ if environment is None else environment
        self._clock = clock
        self._lock = threading.Lock()
        self._one = threading.Lock()
        self._asking = False
        self._answered = threading.Event()
        #: Why :meth:`prepare` failed; safe for a log.
        self.failure = ""
        self._session: Session | None = None
        self._known: Credentials | None = None
        self._known_at = 0.0
        self._renewal: threading.Thread | None = None
        self._renewal_at = float("-inf")

    @property
    def ready(self) -> bool:
        """Whether a call would end, with a result or an error, without waiting for a service."""
        if self._known is not None and self._clock() - self._known_at < _SURE_S:
            return True
        try:
            return _from_environment(self._environment) is not None
        except NoCredentialsError:
            return True

    def __call__(self) -> Credentials:
        """Return credentials; raise :class:`NoCredentialsError`."""
        found = _from_environment(self._environment)
        if found is not None:
            return found
        if self._known is None:
            return self._ask_first()
        age_s = self._clock() - self._known_at
        if age_s >= _LOOK_AGAIN_S:
            self._renew()
            if age_s >= _SURE_S and self._renewal is not None:
                # Calls wait for a renewal that hangs in its first second only, not each time.
                self._renewal.join(max(0.0, self._renewal_at + _RENEW_S - self._clock()))
        return self._known

    @property
    def blank(self) -> bool:
        """Whether nothing is known yet, so that a call would have to ask."""
        try:
            return self._known is None and _from_environment(self._environment) is None
        except NoCredentialsError:
            return False

    def prepare(self) -> threading.Event:
        """Have the first credentials asked for in the background, unless that is under way; never blocks.

        The event is set when it has come to an end; :attr:`failure` says why it came to nothing.
        """
        with self._lock:
            if not self._asking:
                self._asking, self._answered = True, threading.Event()
                thread = threading.Thread(target=self._prepare, name="beacon-credentials", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    self.failure = "no thread can be started to ask for credentials"
                    self._asking = False
                    self._answered.set()
            return self._answered

    def _prepare(self) -> None:
        try:
            self._ask_first()
            self.failure = ""
        except NoCredentialsError as error:
            self.failure = str(error)
        except Exception as error:  # noqa: BLE001 - a thread's edge; the type alone, a text may hold anything
            self.failure = type(error).__name__
        finally:
            with self._lock:
                self._asking = False
            self._answered.set()

    def _ask_first(self) -> Credentials:
        with self._one:
            # A thread that waited for the lock uses the answer of the thread that held it.
            return self._known or self._ask()

    def _renew(self) -> None:
        with self._lock:
            busy = self._renewal is not None and self._renewal.is_alive()
            if busy or self._clock() - self._renewal_at < _RENEW_S:
                return
            renewal = threading.Thread(target=self._try, name="beacon-credentials", daemon=True)
            # Out of threads, or the interpreter is ending: the known credentials stay in use.
            with contextlib.suppress(RuntimeError):
                renewal.start()
                self._renewal, self._renewal_at = renewal, self._clock()

    def _try(self) -> None:
        # A thread's edge: the known credentials stay in use.
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
    from beacon.aws.calls import FAILURES, code_of  # noqa: PLC0415 - as above

    try:
        found = session.get_credentials()
        if found is None:
            raise NoCredentialsError("no AWS credentials found; see `aws configure list`")
        frozen = found.get_frozen_credentials()
    except (*FAILURES, RuntimeError) as error:
        # RuntimeError is botocore's word for credentials that were renewed and are past their life still.
        raise NoCredentialsError(f"AWS credentials cannot be used: {code_of(error)}") from None
    if not frozen.access_key or not frozen.secret_key:
        raise NoCredentialsError("the AWS credentials found are incomplete")
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
