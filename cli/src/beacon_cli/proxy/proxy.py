"""The proxy: accepts clients, gives each a server of its own, and moves them when the best endpoint changes.

================================================  ==================================================
what a look at the links finds                    what follows
================================================  ==================================================
its server owes an answer and was silent for      it is cut, and the endpoint is remembered as silent
``query_timeout_s``
a pool would replace its connection               it moves as soon as nothing is under way
(:mod:`beacon.client.pool_care`)
it should move and was busy for ``move_limit_s``  it is cut
the proxy stops                                   it ends as soon as nothing is under way, and is cut
                                                  after ``stop_limit_s``
================================================  ==================================================

The pool's rules also hold the pace: all links leave an endpoint that is held out within some seconds, and go
home to the best one slowly. No more connects start in a second than a pool may start.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Mapping

from beacon.client.connect_error import ConnectError
from beacon.client.endpoints import Endpoints
from beacon.client.pool_care import PoolCare, PoolPolicy, Treatment
from beacon.client.race import Won
from beacon.outcome import Reason
from beacon_cli.proxy import wire
from beacon_cli.proxy.channel import Channel
from beacon_cli.proxy.client_opening import Greeted, RejectedError, open_client
from beacon_cli.proxy.link import Ending, Link
from beacon_cli.proxy.metrics import Counts, Sample
from beacon_cli.proxy.server_dialer import ServerDialer
from beacon_cli.proxy.server_login import ServerLogin
from beacon_cli.proxy.settings import Settings

__all__ = ["Proxy"]

_LOGGER = logging.getLogger("beacon.proxy")
#: How often the links are looked at, and how long a client has for its part of the login, in seconds.
_LOOK_S, _OPENING_S = 0.05, 10.0
_CANCEL_S = 5.0
#: How many clients are accepted before the others get their turn.
_BATCH = 32
_LINGER_S = 2.0


class Proxy:
    """Serves one listening socket; use it in the event loop that started it."""

    def __init__(self, endpoints: Endpoints, settings: Settings, context: ssl.SSLContext) -> None:
        self.settings = settings
        self.counts = Counts()
        self._endpoints, self._context = endpoints, context
        self._local, self._clock = endpoints.surroundings.local, endpoints.surroundings.clock
        policy = PoolPolicy(max_age_s=settings.max_age_s, connects_per_s=settings.connects_per_s)
        self._care = PoolCare(endpoints, policy, settings.most_clients)
        self._loop = asyncio.get_running_loop()
        self._links: dict[tuple[int, int], Link] = {}
        self._opening: dict[asyncio.Task[None], socket.socket] = {}
        self._cancels: set[asyncio.Task[None]] = set()
        self._listener: socket.socket | None = None
        self._looking: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self, listener: socket.socket) -> None:
        """Accept clients at ``listener``, which is the proxy's from now on."""
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._accept)
        self._looking = self._loop.create_task(self._look())

    async def stop(self) -> None:
        """Accept no more, let busy clients finish for ``stop_limit_s``, and close everything."""
        self._stopping = True
        self._close_listener()
        for task in tuple(self._opening):
            task.cancel()
        ends = self._loop.time() + self.settings.stop_limit_s
        while self._links and self._loop.time() < ends:
            for link in tuple(self._links.values()):
                link.leave(self._loop.time())
            await asyncio.sleep(_LOOK_S / 2)
        for link in tuple(self._links.values()):
            link.cut(Ending.STOPPED, "57P01", "the proxy has stopped")
        if self._looking is not None:
            self._looking.cancel()
        tasks = [*self._opening, *self._cancels, *([self._looking] if self._looking else [])]
        for task in self._cancels:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- what it says of itself

    def health(self) -> tuple[str, Mapping[str, object]]:
        """``pass``, ``warn`` or ``fail``, with the facts.

        Failed logins are a warning alone: a proxy that is restarted for them reaches no server either.
        """
        best, failure = self._best(), self._care.last_failure
        facts: dict[str, object] = {"best": best, "clients": len(self._links), "stopping": self._stopping}
        if failure is not None:
            facts["last_failure"] = str(failure)
        if self._stopping or not best:
            return "fail", facts
        return "pass" if failure is None else "warn", facts

    def samples(self) -> list[Sample]:
        """All metrics."""
        links = list(self._links.values())
        busy = sum(not link.traffic.idle for link in links)
        counts = self.counts
        found = [
            Sample("beacon_proxy_clients", len(self._opening), {"state": "opening"}),
            Sample("beacon_proxy_clients", len(links) - busy, {"state": "idle"}),
            Sample("beacon_proxy_clients", busy, {"state": "busy"}),
        ]
        regions = Counter(link.endpoint.region for link in links)
        for region in sorted({each.endpoint.region for each in self._endpoints.published()} | set(regions)):
            labels = {"region": region}
            found.append(Sample("beacon_proxy_server_connections", regions[region], labels))
            found.append(Sample("beacon_proxy_best_endpoint", int(region == self._best()), labels))
        found += [
            Sample("beacon_proxy_source_age_seconds", status.age_s, {"source": status.name})
            for status in self._endpoints.status()
            if status.age_s is not None
        ]
        # What the links that are open have passed on is added here, so that no statement pays for it.
        sums = Counts(
            accepted=counts.accepted,
            connect_s=counts.connect_s,
            exchanges=counts.exchanges + sum(link.traffic.exchanges for link in links),
            bytes_in=counts.bytes_in + sum(link.bytes_in for link in links),
            bytes_out=counts.bytes_out + sum(link.bytes_out for link in links),
            rejected=counts.rejected,
            connects=counts.connects,
            failures=counts.failures,
            ended=counts.ended,
            cancels=counts.cancels,
        )
        return found + sums.samples()

    def _best(self) -> str:
        candidates = self._endpoints.candidates()
        return candidates[0].endpoint.region if candidates else ""

    # ---- clients come

    def _accept(self) -> None:
        for _ in range(_BATCH):
            if self._listener is None:
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:
                # Out of descriptors: the others in the queue wait until a client has gone.
                _LOGGER.warning("a client cannot be accepted: %s", error.strerror)
                self._loop.remove_reader(self._listener.fileno())
                self._loop.call_later(1.0, self._accept_again)
                return
            client.setblocking(False)
            if client.family != socket.AF_UNIX:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.counts.accepted += 1
            task = self._loop.create_task(self._open(client))
            self._opening[task] = client
            task.add_done_callback(self._opened)

    def _accept_again(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _opened(self, task: asyncio.Task[None]) -> None:
        client = self._opening.pop(task)
        if task.cancelled() or task.exception() is not None:
            client.close()
        if not task.cancelled() and (error := task.exception()) is not None:
            # A defect of ours costs one client, and the log has only its type: its text may hold anything.
            _LOGGER.error("a client could not be served: %s", type(error).__name__)

    async def _open(self, client: socket.socket) -> None:
        """From the first byte of a client to its link; the client is closed, or has one, afterwards."""
        try:
            async with asyncio.timeout(_OPENING_S):
                greeted = await open_client(client, self.settings)
            if isinstance(greeted, wire.CancelRequest):
                self._cancel(greeted)
                client.close()
                return
            won = await self._connect(greeted)
        except RejectedError as error:
            await self._reject(client, error.sqlstate, str(error))
        except wire.WireError as error:
            await self._reject(client, "08P01", str(error))
        except (TimeoutError, OSError):
            client.close()
        else:
            self._join(client, greeted, won)

    async def _connect(self, greeted: Greeted) -> Won[ServerLogin]:
        """Log in at the best endpoint, in turn. Raises :class:`RejectedError`."""
        most = self.settings.most_clients
        if len(self._links) >= most:
            raise RejectedError("53300", f"the proxy serves {most} clients already: see --max-clients")
        limit_s, began = self.settings.connect_timeout_s, self._loop.time()
        while wait_s := self._care.must_wait_s():
            if self._loop.time() + wait_s - began > limit_s:
                raise RejectedError(
                    "53300", f"no turn to connect came within {limit_s:g} s: see --connects-per-s"
                )
            await asyncio.sleep(wait_s)
        dialer = ServerDialer(self._endpoints, limit_s, self._context, greeted.parameters)
        try:
            won = await dialer.dial_async()
        except ConnectError as error:
            self._care.failed(error)
            self.counts.failures.update((each.region, each.reason) for each in error.attempts)
            _LOGGER.warning("a client got no server: %s", error)
            raise RejectedError(_sqlstate_of(error), str(error)) from None
        self.counts.connects[won.candidate.endpoint.region] += 1
        self.counts.connect_s += won.took_s
        return won

    def _join(self, client: socket.socket, greeted: Greeted, won: Won[ServerLogin]) -> None:
        key = _new_key()
        while key in self._links:
            key = _new_key()
        login, endpoint = won.pgconn, won.candidate.endpoint
        link = Link(
            self._loop, client, login, endpoint, functools.partial(self._ended, key), opened_at=self._clock()
        )
        self._links[key] = link
        self._care.joined(link)
        # The key is the proxy's own: a client cancels here, and never learns the server's.
        link.start(greeted.greeting + login.greeting + wire.key_data(*key) + wire.READY, greeted.early)

    async def _reject(self, client: socket.socket, sqlstate: str, text: str) -> None:
        self.counts.rejected[sqlstate] += 1
        channel = Channel(self._loop, client)
        channel.say_farewell(wire.fatal(sqlstate, f"beacon proxy: {text}"), _LINGER_S)

    # ---- clients go

    def _ended(self, key: tuple[int, int], link: Link, ending: Ending) -> None:
        del self._links[key]
        counts = self.counts
        counts.ended[ending.value] += 1
        counts.exchanges += link.traffic.exchanges
        counts.bytes_in += link.bytes_in
        counts.bytes_out += link.bytes_out
        if ending in (Ending.SILENT, Ending.CUT, Ending.SERVER):
            _LOGGER.warning("a client of %s was ended: %s", link.endpoint.region, ending.value)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            now = self._loop.time()
            links = tuple(self._links.values())
            for link in links:
                self._look_at(link, now)
            if not self._stopping:
                self._move(now)

    def _look_at(self, link: Link, now: float) -> None:
        region, limit_s = link.endpoint.region, self.settings.query_timeout_s
        if limit_s is not None and link.silent_s(now) >= limit_s:
            self._local.silent(link.endpoint.host, link.opened_at, self._clock())
            text = f"no answer from {region} within {limit_s:g} s: the connection is closed, and whether the"
            link.cut(Ending.SILENT, "08007", f"{text} statement took effect is unknown")
        elif link.leaving_since is not None and now - link.leaving_since >= self.settings.move_limit_s:
            text = f"the endpoint has changed, and this client was busy for {self.settings.move_limit_s:g} s"
            link.cut(Ending.CUT, "57P01", text)

    def _move(self, now: float) -> None:
        """Have links leave by the pool's rules, at its pace."""
        best, clock = self._endpoints.candidates(), self._clock()
        if not best:
            return
        old_at = clock - self.settings.max_age_s
        paced: set[str] = set()
        for link in tuple(self._links.values()):
            host = link.endpoint.host
            if link.leaving_since is not None or (host == best[0].endpoint.host and link.opened_at > old_at):
                continue
            # The links stand in the order of their age. When one has to wait for its turn, so do the others.
            if host in paced:
                continue
            found = self._care.treatment(host, opened_at=link.opened_at, used_at=clock)
            if found is Treatment.REPLACE:
                link.leave(now)
            else:
                paced.add(host)

    # ---- cancel requests

    def _cancel(self, request: wire.CancelRequest) -> None:
        link = self._links.get((request.process_id, request.secret))
        self.counts.cancels["unknown" if link is None else "known"] += 1
        if link is not None and link.login_key:
            task = self._loop.create_task(_send_cancel(link, self._context))
            self._cancels.add(task)
            task.add_done_callback(self._cancels.discard)

    def _close_listener(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None


async def _send_cancel(link: Link, context: ssl.SSLContext) -> None:
    """Pass a cancel request on. One that cannot be passed on is lost, as the protocol has it."""
    address, port, host = link.peer
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(_CANCEL_S):
            reader, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=host)
            try:
                writer.write(wire.cancel_request(link.login_key))
                await reader.read()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


def _new_key() -> tuple[int, int]:
    # The first half is a positive number of 31 bits, as a process id is.
    return secrets.randbits(31), secrets.randbits(32)


def _sqlstate_of(error: ConnectError) -> str:
    reasons = {attempt.reason for attempt in error.attempts}
    if Reason.TOO_MANY_CONNECTIONS.value in reasons:
        return "53300"
    return "28000" if reasons == {Reason.LOGIN_REJECTED.value} else "08001"
