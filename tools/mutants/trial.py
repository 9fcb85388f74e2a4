"""Run a module's tests against one mutation of it, in a process that is forked for this and then ends.

A first run, without a mutation, notes for each test how long it takes and which lines of the module it
reaches. A mutation then meets only the tests that reach its statement, the quickest first, and the first
failure ends the run. The parent never imports the project: each child finds the module, mutated or not, by
itself.
"""

from __future__ import annotations

import ast
import importlib
import math
import os
import pickle
import resource
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest
from tools.mutants.mutations import Mutation

__all__ = ["Baseline", "BaselineError", "Result", "Subject", "baseline", "try_all"]

#: A mutant may use so many times the seconds that its tests take without it, and so many more. What counts is
#: the processor's time, because a busy machine is no defect. A mutant that waits has ten times as long.
_TIMES, MORE_S = 6.0, 10.0
_QUIET = ("-x", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:randomly")
#: The parent has loaded libraries whose asserts pytest would like to see first.
_WARNINGS = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


class BaselineError(Exception):
    """The tests fail without any mutation, so that they say nothing about one."""


class Result(Enum):
    """What happened to a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    SURVIVED = "survived"
    UNREACHED = "survived: no test reaches the line"


@dataclass(frozen=True)
class Subject:
    """A module, where its source is, and the files of its tests."""

    name: str
    path: Path
    tests: tuple[str, ...]


@dataclass
class Baseline:
    """Without a mutation: what each test took and reached, and which modules the run has loaded."""

    took_s: dict[str, float] = field(default_factory=dict)
    reached: dict[str, set[int]] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)

    def tests_of(self, mutation: Mutation) -> list[str]:
        """The tests that reach the mutation, the quickest first; all of them for what an import runs."""
        lines = range(mutation.first, mutation.last + 1)
        chosen = [
            test
            for test, reached in self.reached.items()
            if mutation.first == 0 or not reached.isdisjoint(lines)
        ]
        return sorted(chosen, key=self.took_s.__getitem__)


class _Loader(SourceFileLoader):
    """Loads the module from a syntax tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        del fullname
        return compile(self._tree, self.path, "exec")


class _Finder(MetaPathFinder):
    def __init__(self, subject: Subject, tree: ast.Module) -> None:
        self._subject, self._tree = subject, tree

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if fullname != self._subject.name:
            return None
        place = str(self._subject.path)
        return spec_from_file_location(fullname, place, loader=_Loader(fullname, place, self._tree))


class _Recorder:
    """A pytest plugin that notes what each test takes and which lines of one file it reaches."""

    def __init__(self, path: Path) -> None:
        self._file = str(path)
        self.notes = Baseline()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        lines = self.notes.reached[item.nodeid] = set()

        def trace(frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401 - as sys.settrace
            if frame.f_code.co_filename != self._file:
                return None
            if event == "line":
                lines.add(frame.f_lineno)
            return trace

        began = time.monotonic()
        sys.settrace(trace)
        threading.settrace(trace)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)
            self.notes.took_s[item.nodeid] = time.monotonic() - began


class _Chosen:
    """A pytest plugin that runs the named tests in order, and then those that the baseline did not have.

    A mutated value can stand in the name of a parametrized test, which then has another name.
    """

    def __init__(self, tests: Sequence[str], others: Collection[str]) -> None:
        self._place = {test: number for number, test in enumerate(tests)}
        self._left_out = frozenset(others) - set(tests)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid not in self._left_out),
            key=lambda item: self._place.get(item.nodeid, len(self._place)),
        )


def baseline(subject: Subject) -> Baseline:
    """Run the tests as they are; raises :class:`BaselineError` when one fails.

    Then loads the libraries that they use, so that no child has to.
    """
    readable, writable = os.pipe()
    recorder = _Recorder(subject.path)
    child = os.fork()
    if child == 0:
        os.close(readable)
        code = _pytest(subject, ast.parse(subject.path.read_text(encoding="utf-8")), recorder)
        recorder.notes.loaded = _libraries()
        with os.fdopen(writable, "wb") as pipe:
            pickle.dump((code, recorder.notes), pipe)
        os._exit(0)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    code, notes = pickle.loads(said) if said else (3, Baseline())  # noqa: S301 - our own child's
    if code != 0:
        raise BaselineError(f"{subject.name}: its tests fail as it is: pytest {' '.join(subject.tests)}")
    for name in notes.loaded:
        with suppress(Exception):
            importlib.import_module(name)
    assert isinstance(notes, Baseline)  # noqa: S101 - what the child sent
    return notes


def try_all(
    subject: Subject,
    tree: ast.Module,
    mutants: Sequence[Mutation],
    notes: Baseline,
    *,
    processes: int,
    until: float,
    more_s: float = MORE_S,
) -> Iterator[tuple[Mutation, Result]]:
    """Each mutant of ``tree`` with what happened to it, as it ends. None starts after ``until``."""
    running: dict[int, tuple[Mutation, float]] = {}
    for mutation in mutants:
        tests = notes.tests_of(mutation)
        if not tests:
            yield mutation, Result.UNREACHED
            continue
        while len(running) >= processes:
            yield from _ended(running)
        if time.monotonic() >= until:
            break
        patience_s = more_s + _TIMES * sum(notes.took_s[test] for test in tests)
        child = os.fork()
        if child == 0:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(patience_s), math.ceil(patience_s) + 1))
            mutation.apply()
            os._exit(_pytest(subject, tree, _Chosen(tests, notes.reached)))
        running[child] = (mutation, time.monotonic() + 10 * patience_s)
    while running:
        yield from _ended(running)


def _ended(running: dict[int, tuple[Mutation, float]]) -> Iterator[tuple[Mutation, Result]]:
    """Those that have ended or take too long; waits a moment when there is none."""
    for child, (mutation, too_late) in tuple(running.items()):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            del running[child]
            code = os.waitstatus_to_exitcode(status)
            timed_out = code in (-signal.SIGXCPU, -signal.SIGKILL)
            survived = Result.SURVIVED if code == 0 else Result.KILLED
            yield mutation, Result.TIMED_OUT if timed_out else survived
        elif time.monotonic() > too_late:
            del running[child]
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            yield mutation, Result.TIMED_OUT
    time.sleep(0.005)


def _pytest(subject: Subject, tree: ast.Module, plugin: object) -> int:
    """Run the subject's tests in this process, which ends afterwards; nothing that they print is shown."""
    sys.meta_path.insert(0, _Finder(subject, tree))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        _no_shrinking()
        return int(pytest.main([*_QUIET, *_WARNINGS, *subject.tests], plugins=[plugin]))
    except BaseException:  # noqa: BLE001 - whatever ends the tests, a mutant has been noticed
        return 3


def _no_shrinking() -> None:
    """A failure that hypothesis finds is enough; it need not be the smallest one, nor another each time."""
    hypothesis = importlib.import_module("hypothesis")
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile(
        "mutants", phases=phases, derandomize=True, database=None, deadline=None
    )
    hypothesis.settings.load_profile("mutants")


def _libraries(modules: Mapping[str, ModuleType] | None = None) -> list[str]:
    """The loaded modules that are no part of the project."""
    chosen = []
    for name, module in sorted((modules or sys.modules).items()):
        file = getattr(module, "__file__", None)
        if file and ("site-packages" in file or file.startswith(sys.base_prefix)) and "__main__" not in name:
            chosen.append(name)
    return chosen
