"""Runs readers side by side under one limit: what is not there by then is unknown, and holds up nothing."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from beacon_cli.situation.model import Unknown

__all__ = ["gather"]


def gather(readers: Mapping[str, Callable[[], Any]], within_s: float) -> dict[str, Any]:
    """What each reader returns, by its name; :class:`Unknown` if it did not end within the limit.

    The names are for the operator (`SSM of us-east-1`). A reader's own failures are facts that it returns.
    What it raises is a defect: it costs that reader's fact, which names the exception's type, and no other.
    The threads are daemons: one that hangs keeps no process.
    """
    done: queue.Queue[tuple[str, Any]] = queue.Queue()

    def run(name: str, read: Callable[[], Any]) -> None:
        try:
            done.put((name, read()))
        except Exception as error:  # noqa: BLE001 - a thread's edge: the fact names it
            # Only the type: the text may hold a secret.
            done.put((name, Unknown(f"{name} failed: {type(error).__name__}")))

    for name, read in readers.items():
        threading.Thread(target=run, args=(name, read), name=name, daemon=True).start()
    found: dict[str, Any] = {}
    end = time.monotonic() + within_s
    while len(found) < len(readers):
        try:
            name, value = done.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            break
        found[name] = value
    return {
        name: found.get(name, Unknown(f"{name} did not answer within {within_s:g} s")) for name in readers
    }
