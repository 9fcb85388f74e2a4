"""The endpoints that a client may connect to, best first: from several sources, kept in memory.

Give it to :func:`beacon.connect` and the pools. One object serves a whole process. It asks its sources in the
background, and once it knows an endpoint, no call waits for a source again. After ``valid_until`` of a
document has passed, its order still counts, and all of its endpoints are candidates: a client always has one.

Once a document and credentials are known, a connect needs neither SSM nor STS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from beacon.aws.credentials import CredentialChain
from beacon.aws.sigv4 import Credentials
from beacon.client.arguments import host_example, kind_of, number, require_none
from beacon.client.candidates import Candidate, merged
from beacon.client.disk_copy import DiskCopy
from beacon.client.feed import Feed, SourceStatus
from beacon.client.local_view import LocalView
from beacon.client.sources import Source
from beacon.client.surroundings import Surroundings
from beacon.dsql.resolver import Resolver
from beacon.names import shown
from beacon.suspend_clock import suspend_aware

__all__ = ["Endpoints", "endpoints_problems"]

#: The most that a first call waits for a source while another one knows endpoints already, in seconds.
_OTHERS_S = 1.0
#: How often a caller that waits looks at the other sources.
_NAP_S = 0.02


class Endpoints:
    """Where to connect: candidates from sources, whose order is that of trust.

    :func:`beacon.client.candidates.merged` says how several sources make one list. Raises ``ValueError`` with
    every reason at once.

    :param sources: one or more of ``SsmDocument``, ``DnsRecord`` and ``StaticList``, the most trusted first.
    :param refresh_s: how often SSM and DNS are asked, in seconds, jittered by a quarter; default 10.0. SSM
        allows 40 reads a second and Region, shared by all.
    :param copy: a file that keeps the last good answers for the next process; default ``None``: none is kept.
    :param dial: a host to the ``(address, port)`` to connect to in place of resolving it, like ``curl
        --connect-to``; default ``None``: every host is resolved.
    :param credentials: a function that returns what tokens are signed with and does not block; default
        ``None``: the environment, then botocore's chain.
    :param resolver: what resolves host names; default ``None``: the system's resolver, in the background.
    :param local: what this process met at each endpoint; default ``None``: nothing so far.
    :param clock: what lasts from one call to the next, in seconds; default
        :func:`beacon.suspend_clock.suspend_aware`.
    :param monotonic: what begins and ends within one call, in seconds; default ``time.monotonic``.
    :param now: the wall clock (UTC), for what others dated; default the system's.
    """

    def __init__(
        self,
        *sources: Source,
        refresh_s: float = 10.0,
        copy: str | Path | None = None,
        dial: Mapping[str, tuple[str, int]] | None = None,
        credentials: Callable[[], Credentials] | None = None,
        resolver: Resolver | None = None,
        local: LocalView | None = None,
        clock: Callable[[], float] = suspend_aware,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        problems = [problem for source in sources for problem in _source_problems(source)]
        names = [] if problems else [source.name for source in sources]
        problems += [
            f"the source {name} is given twice" for name in sorted(set(names)) if names.count(name) > 1
        ]
        if not sources:
            problems.append("name at least one source, such as SsmDocument(app, env)")
        problems += number("refresh_s", refresh_s, 1, 3600)
        require_none(problems + _way_problems(copy, credentials) + _dial_problems(dial))
        #: What a connect needs beside a candidate.
        self.surroundings = Surroundings(
            credentials or CredentialChain(),
            resolver or Resolver(),
            local or LocalView(),
            clock,
            monotonic,
            now,
        )
        self._dial = dict(dial or {})
        disk = DiskCopy(Path(copy)) if copy is not None else None
        self._feeds = [
            Feed(source, refresh_s, copy=disk, changed=self._forget, clock=clock, now=now)
            for source in sources
        ]
        self._known: tuple[Candidate, ...] = ()
        self._known_at = float("-inf")
        self._waited = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def should_wait(self, began: float, wait_s: float) -> bool:
        """Whether a caller that ``began`` to wait, by the monotonic clock, has to wait longer for an answer.

        When every source has been asked, no caller waits. While no endpoint is known, a caller waits for
        ``wait_s`` at most. While one source knows endpoints already, it waits for a second at most; after the
        first caller has waited so long, no other one does.
        """
        for feed in self._feeds:
            feed.poke()
        if self._waited or all(feed.answered for feed in self._feeds):
            return False
        known = any(feed.candidates() for feed in self._feeds)
        if self.surroundings.monotonic() - began < (min(wait_s, _OTHERS_S) if known else wait_s):
            return True
        self._waited = known and wait_s > 0
        return False

    def candidates(self, wait_s: float = 0.0) -> Sequence[Candidate]:
        """The candidates in the order to try them; empty when no source has said anything usable yet.

        The first calls of a process may wait for its sources, ``wait_s`` at the most.
        """
        self.wait(wait_s)
        return self.surroundings.local.ordered(self.published(), self.surroundings.clock())

    def wait(self, wait_s: float) -> None:
        """Wait for the sources as the first calls of a process may, ``wait_s`` at most."""
        began = self.surroundings.monotonic()
        while self.should_wait(began, wait_s):
            # The last one may have answered a moment ago.
            asked = next((feed for feed in self._feeds if not feed.answered), None)
            if asked is not None:
                asked.wait(_NAP_S)

    def published(self) -> tuple[Candidate, ...]:
        """The candidates in the order of the sources, without what this process met itself."""
        # Read once: a source's thread may forget it at any moment.
        clock, known = self.surroundings.clock(), self._known
        # A document that comes to its end changes who is a candidate, without any news.
        if not known or not 0 <= clock - self._known_at < 1.0:
            self._known = known = self._merge()
            self._known_at = clock
        return known

    def status(self) -> tuple[SourceStatus, ...]:
        """Each source's age and trouble, in order."""
        return tuple(feed.status() for feed in self._feeds)

    def close(self) -> None:
        """Stop asking; what is known stays usable."""
        for feed in self._feeds:
            feed.close()

    def _merge(self) -> tuple[Candidate, ...]:
        found = merged(feed.candidates() for feed in self._feeds)
        if not self._dial:
            return found
        return tuple(
            replace(each, endpoint=replace(each.endpoint, dial=self._dial.get(each.endpoint.host)))
            for each in found
        )

    def _forget(self) -> None:
        """Make the next call build the list again."""
        self._known = ()


def endpoints_problems(caller: str, given: object) -> list[str]:
    """What is wrong with the first argument of ``caller``, which has to be :class:`Endpoints`."""
    if isinstance(given, Endpoints):
        return []
    if isinstance(given, str):
        return [f"{caller} takes Endpoints, not text: Endpoints(StaticList([{host_example(given)}]))"]
    if _looks_like_a_source(given):
        return [f"{caller} takes Endpoints, not a source alone: Endpoints({type(given).__name__}(...))"]
    return [f"{caller} takes Endpoints, such as Endpoints(SsmDocument(app, env)), not {kind_of(given)}"]


def _looks_like_a_source(given: object) -> bool:
    return all(hasattr(given, name) for name in ("name", "fetch", "accept", "candidates", "as_of"))


def _source_problems(given: object) -> list[str]:
    if isinstance(given, str):
        host = host_example(given)
        return [f"a source must be an object, not text: StaticList([{host}]), or DnsRecord({host})"]
    if isinstance(given, type):
        return [f"a source must be an object, not the class {given.__name__}: call {given.__name__}(...)"]
    if isinstance(given, list | tuple | set):
        return [
            "sources are given one by one, hosts in a list: Endpoints(SsmDocument(...), StaticList([...]))"
        ]
    if not _looks_like_a_source(given):
        return [f"a source must be SsmDocument, DnsRecord, StaticList or their like, not {kind_of(given)}"]
    return []


def _way_problems(copy: object, credentials: object) -> list[str]:
    problems = []
    if not isinstance(copy, str | Path | None):
        problems.append(f"copy must be the path of a file, not {kind_of(copy)}")
    if credentials is not None and not callable(credentials):
        problems.append(
            f"credentials must be a function that returns Credentials, not {kind_of(credentials)}"
        )
    return problems


def _dial_problems(dial: object) -> list[str]:
    if dial is None:
        return []
    if not isinstance(dial, Mapping):
        return [f"dial must be a dict, such as {{host: ('127.0.0.1', 5432)}}, not {kind_of(dial)}"]
    return [
        f"dial of {shown(str(host))} must be (address, port), such as ('127.0.0.1', 5432),"
        f" not {kind_of(target)}"
        for host, target in dial.items()
        if not _is_target(target)
    ]


def _is_target(target: object) -> bool:
    if not isinstance(target, tuple) or len(target) != 2:
        return False
    address, port = target
    return isinstance(address, str) and not number("port", port, 1, 65535, whole=True)
