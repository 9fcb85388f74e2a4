"""The canary consumer as the drill sees it: whether it may write, its process, its rows at the end."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from beacon.aws.credentials import NoCredentialsError
from beacon_cli.aws_failures import FAILURES
from beacon_cli.database import database
from beacon_cli.drill.consumed import EVERY_S, QUERY_S, Consumed, Tally
from beacon_cli.drill.consumer import Orders
from beacon_cli.errors import CommandError
from beacon_cli.sessions import Sessions

__all__ = ["ConsumerProcess", "why_no_consumer"]

_NO_TABLE = {"42P01", "3F000"}
_FINISH_S = 12.0
_MAY = "SELECT has_table_privilege(current_user, 'beacon.drill', 'SELECT, INSERT, DELETE')"
_ROWS = "SELECT id FROM beacon.drill WHERE drill = %s"
# A transaction of DSQL changes 3,000 rows at the most.
_CLEAR = "DELETE FROM beacon.drill WHERE id IN (SELECT id FROM beacon.drill WHERE drill = %s LIMIT 1000)"
#: What remains of this time goes to the rows; those that stay are the next drill's to see.
_CLEAR_ROUNDS = 20


def why_no_consumer(sessions: Sessions) -> str:
    """Why no rows can be written, in one sentence; empty where they can."""
    import psycopg  # noqa: PLC0415 - heavy, and only for a drill

    user = sessions.fleet.operator_role
    try:
        with database(sessions, user) as connection:
            row = connection.execute(_MAY).fetchone()
    except psycopg.Error as error:
        if error.sqlstate in _NO_TABLE:
            return "the database has no table beacon.drill: sql/drill.sql makes it"
        return (
            f"whether {user} may write to beacon.drill is not known: {error.sqlstate or type(error).__name__}"
        )
    except CommandError as error:
        return error.sentence
    return "" if row and row[0] else f"{user} may not write to beacon.drill: sql/drill.sql grants it"


class ConsumerProcess:
    """Runs :mod:`beacon_cli.drill.consumer` for one drill; call :meth:`finish` in every case."""

    def __init__(self, sessions: Sessions, region: str, drill: str) -> None:
        self._sessions = sessions
        self._drill = drill
        self._tally = Tally()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "beacon_cli.drill.consumer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(sessions, region),
            text=True,
            # Ctrl-C is for the drill alone, which still needs the consumer to watch the return.
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - a pipe, see above
        self._process.stdin.write(json.dumps(asdict(_orders(sessions, region, drill))) + "\n")
        self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, name="the consumer's lines", daemon=True)
        self._reader.start()

    @property
    def begun(self) -> bool:
        """Whether a row was acknowledged."""
        with self._lock:
            return self._tally.begun

    def finish(self, zero: float) -> Consumed:
        """End the process, read its rows again, and remove them; ``zero`` is when the drill broke."""
        assert self._process.stdin is not None  # noqa: S101 - as above
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_FINISH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_FINISH_S)
        with self._lock:
            self._tally.end(time.monotonic())
            found = self._found()
            return self._tally.consumed(zero, found)

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - as above
        for line in self._process.stdout:
            with self._lock:
                self._tally.add(json.loads(line))

    def _found(self) -> int | None:
        """How many of the acknowledged rows are there; ``None`` where the database does not say."""
        import psycopg  # noqa: PLC0415 - as above

        fleet = self._sessions.fleet
        try:
            with database(self._sessions, fleet.operator_role, query_timeout_s=10.0) as connection:
                rows = {str(row[0]) for row in connection.execute(_ROWS, (self._drill,)).fetchall()}
                with contextlib.suppress(psycopg.Error):
                    for _ in range(_CLEAR_ROUNDS):
                        if connection.execute(_CLEAR, (self._drill,)).rowcount == 0:
                            break
        except (*FAILURES, CommandError, NoCredentialsError, psycopg.Error):
            return None
        return len(self._tally.acknowledged & rows)


def _orders(sessions: Sessions, region: str, drill: str) -> Orders:
    fleet = sessions.fleet
    lab = fleet.lab
    sites = sorted(fleet.sites, key=lambda site: site.region != region)
    return Orders(
        app=fleet.app,
        env=fleet.env,
        region=region,
        drill=drill,
        hosts=[site.host for site in sites if site.host],
        user=fleet.operator_role,
        dial=dict(lab.dial) if lab else None,
        ca_file=lab.ca_file if lab else None,
        every_s=EVERY_S,
        query_s=QUERY_S,
        refresh_s=max(1.0, 10.0 / (lab.speed if lab else 1.0)),
    )


def _environment(sessions: Sessions, region: str) -> dict[str, Any]:
    """The process's environment: a lab's, or this one's with the profile that the Region is asked with."""
    lab, kept = sessions.fleet.lab, dict(os.environ)
    if lab is not None:
        kept = {name: value for name, value in kept.items() if not name.startswith("AWS_")}
        return kept | {
            "AWS_ENDPOINT_URL": lab.aws_url,
            "AWS_ACCESS_KEY_ID": lab.access_key_id,
            "AWS_SECRET_ACCESS_KEY": lab.secret_access_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
        }
    profile = sessions.profile_of(region)
    return kept | ({"AWS_PROFILE": profile} if profile else {})
