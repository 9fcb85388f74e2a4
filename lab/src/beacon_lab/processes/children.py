"""Every child process of one lab: each in its own session, all gone when the lab ends, however it ends."""

import asyncio
import contextlib
import json
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from beacon_lab.processes import reaper
from beacon_lab.processes.process_table import ProcessIdentity, identify, session_tree, snapshot

__all__ = ["Child", "Processes", "ProcessesError"]

KILL_WITHIN_S = 5.0
REAPER_WITHIN_S = 15.0


class ProcessesError(Exception):
    """A child could not be started, or could not be ended; the message says which."""


class Child:
    """A running child process, the leader of its own session."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], identity: ProcessIdentity) -> None:
        """Made by ``Processes.spawn`` on the event loop that will wait for the child."""
        self.name = name
        self.is_postgres = False
        self.pid = popen.pid
        self.identity = identity
        self._popen = popen
        self._loop = asyncio.get_running_loop()
        self._exited = asyncio.Event()
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        if self._pidfd >= 0 and self._popen.poll() is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1
            self._exited.set()

    @property
    def returncode(self) -> int | None:
        """The exit status, minus the signal's number after a signal, None while it runs."""
        return self._popen.returncode

    async def wait(self) -> int:
        """Wait for the session's leader to end; returns its exit status."""
        await self._exited.wait()
        assert self._popen.returncode is not None  # noqa: S101 - the event is set after that
        return self._popen.returncode

    def send(self, number: signal.Signals) -> bool:
        """Signal the leader alone; False when it is gone."""
        return self.returncode is None and self.identity.send(number)

    def tree(self) -> list[ProcessIdentity]:
        """The living processes of this child's session, descendants that left the session included."""
        return session_tree(self.identity, snapshot())

    async def terminate(self, grace_s: float = 3.0) -> int:
        """SIGTERM to the leader, thawed if stopped; after ``grace_s``, SIGKILL to all of its session."""
        await self.ask_to_end(grace_s)
        return await self.kill()

    async def ask_to_end(self, grace_s: float = 3.0) -> None:
        """SIGTERM to the leader, thawed if stopped; returns when it has ended, or after ``grace_s``."""
        if self.send(signal.SIGTERM):
            self.send(signal.SIGCONT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exited.wait(), grace_s)

    async def kill(self) -> int:
        """SIGKILL to every process of the session, also when the leader is gone; returns the leader's status.

        Raises ProcessesError when something is still there after 5 s.
        """
        deadline = self._loop.time() + KILL_WITHIN_S
        while left := self.tree():
            if self._loop.time() >= deadline:
                numbers = ", ".join(str(found.pid) for found in left)
                raise ProcessesError(f"{self.name}: processes {numbers} do not end")
            for found in left:
                found.send(signal.SIGKILL)
            await asyncio.sleep(0.005)
        return await self.wait()


class Processes:
    """Owns every child process of one lab.

    A small watcher (``python -m beacon_lab.processes.reaper``) knows the children's sessions and the lab's
    directories through a pipe. The kernel closes the pipe when the lab dies, by SIGKILL too, and the
    watcher then kills and removes all. Between a child's start and the watcher's knowledge of it there
    are a few milliseconds without that guarantee.
    """

    def __init__(self) -> None:
        """Nothing runs before ``start``."""
        self._children: list[Child] = []
        self._reaper: Child | None = None
        self._pipe: int | None = None
        self._unsent: list[list[str | int]] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the watcher."""
        if self._reaper is not None or self._closed:
            raise ProcessesError("start() was called twice, or after close()")
        read_end, write_end = os.pipe()
        # The watcher inherits this mask: a signal that comes while it still starts must not end it either.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, reaper.UNHEEDED)
        try:
            self._reaper = self._popen(
                "reaper",
                [sys.executable, "-P", "-m", reaper.__name__],
                env={"PATH": os.defpath, "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
                cwd=Path("/"),
                stdin=read_end,
            )
        except BaseException:
            os.close(write_end)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(read_end)
        self._pipe = write_end
        for message in self._unsent:
            self._tell(message)
        self._unsent.clear()

    async def spawn(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        user: int | None = None,
        log: Path | None = None,
        is_postgres: bool = False,
    ) -> Child:
        """Start a child in its own session, with exactly this environment, as ``user`` (a uid) if given.

        Its input is empty; its output is appended to ``log``, or dropped. ``is_postgres`` says that servers
        of PostgreSQL are in its session, whose shared memory has to be removed when they are killed. Raises
        ProcessesError when it cannot start.
        """
        if self._pipe is None:
            raise ProcessesError(f"{name}: spawn() before start() or after close()")
        child = self._popen(name, argv, env=env, cwd=cwd, user=user, log=log)
        child.is_postgres = is_postgres
        try:
            self._tell(["postgres" if is_postgres else "session", child.pid, child.identity.started])
        except ProcessesError:
            await child.kill()
            raise
        for gone in [known for known in self._children if known.returncode is not None and not known.tree()]:
            self._children.remove(gone)
            self._tell(["forget", gone.pid])
        self._children.append(child)
        return child

    def remove_at_exit(self, directory: Path) -> None:
        """Have the directory removed, with all that is in it, when the lab ends, however it ends."""
        self._remove("directory", directory)

    def remove_file_at_exit(self, file: Path) -> None:
        """Have the file removed as soon as the lab ends, however it ends."""
        self._remove("file", file)

    def _remove(self, kind: str, path: Path) -> None:
        if not path.is_absolute() or path == Path(path.anchor):
            raise ProcessesError(f"{path}: not an absolute path below the root")
        message: list[str | int] = [kind, str(path)]
        if self._pipe is None:
            self._unsent.append(message)
        else:
            self._tell(message)

    async def close(self) -> None:
        """End all children, wait for them, and have the directories removed. Safe to call again.

        Raises ProcessesError when something is left behind.
        """
        self._closed = True
        if self._reaper is None:
            return
        watcher, self._reaper = self._reaper, None
        # The watcher kills what is left of PostgreSQL: it alone removes the shared memory, too.
        endings = (child.ask_to_end() if child.is_postgres else child.terminate() for child in self._children)
        ended = await asyncio.gather(*endings, return_exceptions=True)
        self._children.clear()
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        try:
            status = await asyncio.wait_for(watcher.wait(), REAPER_WITHIN_S)
        except TimeoutError:
            status = await watcher.kill()
        for result in ended:
            if isinstance(result, BaseException):
                raise result
        if status != 0:
            raise ProcessesError("the watcher could not end every process or remove every directory")

    def _tell(self, message: list[str | int]) -> None:
        if self._pipe is None:
            raise ProcessesError("the watcher is not running")
        try:
            os.write(self._pipe, json.dumps(message).encode() + b"\n")
        except BrokenPipeError as error:
            raise ProcessesError("the watcher is gone") from error

    @staticmethod
    def _popen(
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None,
        user: int | None = None,
        log: Path | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> Child:
        group = None if user is None else pwd.getpwuid(user).pw_gid
        with contextlib.ExitStack() as stack:
            output = subprocess.DEVNULL if log is None else stack.enter_context(log.open("ab"))
            try:
                popen = subprocess.Popen(
                    list(argv),
                    stdin=stdin,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    cwd=cwd,
                    user=user,
                    group=group,
                    extra_groups=None if user is None else [],
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessesError(f"{name}: {argv[0]} cannot be started: {error}") from error
        identity = identify(popen.pid)
        assert identity is not None  # noqa: S101 - our own child stays in the table until we wait for it
        return Child(name, popen, identity)
