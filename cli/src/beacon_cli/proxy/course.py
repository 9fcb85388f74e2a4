"""From the words of the command line to a running proxy: every wrong word is reported, all at once."""

from __future__ import annotations

import asyncio
import os
import pwd
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beacon_cli.errors import FailedError, WrongUseError
from beacon_cli.locate import locate
from beacon_cli.options import Options
from beacon_cli.proxy.running import (
    CannotListenError,
    Places,
    Program,
    loop_factory,
    run_beside,
    run_until_told,
)
from beacon_cli.proxy.settings import Settings
from beacon_cli.proxy.sources import Found, from_fleet, from_options

__all__ = ["Wishes", "run", "run_command"]

_SOCKET = ".s.PGSQL.5432"
_NONE = "none"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the operator wants; empty where nothing was said."""

    listen: str
    health: str
    app: str
    env: str
    region: str
    hosts: tuple[str, ...]
    record: str
    ca_file: Path | None
    roles: tuple[str, ...]
    password_file: Path | None
    peers: tuple[str, ...]
    limits: Mapping[str, Any]


def run(wishes: Wishes, options: Options, ready: Callable[[Places], None]) -> None:
    """Serve until the process gets SIGTERM or SIGINT."""
    settings = _settings(wishes, wishes.listen or "127.0.0.1:5432", wishes.health or "127.0.0.1:9187")
    found, _ = _sources(wishes, options)
    with found.endpoints, asyncio.Runner(loop_factory=loop_factory()) as runner:
        try:
            runner.run(run_until_told(found.endpoints, settings, found.ca_file, ready))
        except CannotListenError as error:
            raise _cannot_listen(error) from None


def run_command(wishes: Wishes, command: Sequence[str], options: Options) -> int:
    """Serve for as long as ``command`` runs; return its exit status."""
    environment = dict(os.environ)  # as it is before a lab's AWS comes into ours
    with tempfile.TemporaryDirectory(prefix="beacon-proxy-") as directory:
        listen = wishes.listen or f"{directory}/{_SOCKET}"
        settings = _settings(wishes, listen, wishes.health or _NONE)
        found, role = _sources(wishes, options)
        user = environment.get("PGUSER") or (settings.roles[0] if settings.roles else options.db_user or role)
        with found.endpoints, asyncio.Runner(loop_factory=loop_factory()) as runner:
            try:
                return runner.run(
                    run_beside(found.endpoints, settings, found.ca_file, Program(command, environment, user))
                )
            except CannotListenError as error:
                raise _cannot_listen(error) from None
            except OSError as error:
                raise FailedError(f"{command[0]} cannot be started: {error.strerror}") from None


def _cannot_listen(error: CannotListenError) -> FailedError:
    return FailedError(f"the proxy cannot listen on {error}", "beacon proxy --listen 127.0.0.1:5433")


def _sources(wishes: Wishes, options: Options) -> tuple[Found, str]:
    """The endpoints, and the role of the deployment's operators where one is described."""
    ca_file = str(wishes.ca_file) if wishes.ca_file else None
    if bool(wishes.app) != bool(wishes.env):
        raise WrongUseError("--app and --env are given together", "beacon proxy --app beacon --env prod")
    if wishes.ca_file and not wishes.ca_file.is_file():
        raise WrongUseError(f"--ca-file names no file: {wishes.ca_file}")
    if options.profile:
        os.environ["AWS_PROFILE"] = options.profile
    if wishes.app or wishes.hosts or wishes.record:
        named = from_options(
            app=wishes.app,
            env=wishes.env,
            region=wishes.region,
            hosts=wishes.hosts,
            record=wishes.record,
            ca_file=ca_file,
        )
        return named, ""
    fleet = locate(options)
    profile = next((site.profile for site in fleet.sites if site.profile), None)
    if profile and not options.profile and fleet.lab is None:
        os.environ.setdefault("AWS_PROFILE", profile)
    return from_fleet(fleet, wishes.region, ca_file), fleet.operator_role


def _settings(wishes: Wishes, listen: str, health: str) -> Settings:
    try:
        return Settings(
            listen=listen,
            health="" if health == _NONE else health,
            roles=wishes.roles,
            password=_password(wishes.password_file),
            peer_ids=frozenset(map(_user_id, wishes.peers)),
            **wishes.limits,
        )
    except ValueError as error:
        raise WrongUseError(str(error), "beacon proxy --help") from None


def _password(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongUseError(f"the password file {path} cannot be read: {error}") from None
    if not password:
        raise WrongUseError(f"the password file {path} is empty")
    return password


def _user_id(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise WrongUseError(f"this machine has no user {name!r}: see --peer") from None
