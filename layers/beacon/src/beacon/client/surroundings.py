"""What every connect of one process shares: clocks, credentials, a resolver, and what it met so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from beacon.aws.credentials import CredentialChain
from beacon.aws.sigv4 import Credentials
from beacon.client.local_view import LocalView
from beacon.dsql.resolver import Resolver
from beacon.suspend_clock import suspend_aware

__all__ = ["Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """One object for a process, which :class:`~beacon.client.endpoints.Endpoints` makes.

    :param credentials: returns what tokens are signed with, and does not block.
    :param resolver: resolves host names in the background.
    :param local: what this process met at each endpoint.
    :param clock: the clock for what lasts from one call to the next, in seconds; it counts the time in which
        a sandbox was frozen (:mod:`beacon.suspend_clock`).
    :param monotonic: the clock for what begins and ends within one call, in seconds.
    :param now: the wall clock (UTC), for instants that another machine wrote, and for signatures.
    """

    credentials: Callable[[], Credentials] = field(default_factory=CredentialChain)
    resolver: Resolver = field(default_factory=Resolver)
    local: LocalView = field(default_factory=LocalView)
    clock: Callable[[], float] = suspend_aware
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
