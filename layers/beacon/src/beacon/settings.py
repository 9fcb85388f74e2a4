"""Beacon's settings, read from environment variables and validated all at once.

Nothing is contacted before every value has been looked at; one :class:`SettingsError` lists every reason.

=========================== ============================================================ ==================
variable                    meaning                                                      default
=========================== ============================================================ ==================
BEACON_APP, BEACON_ENV      name one deployment; ``{app}-{env}`` prefixes every resource  required
AWS_REGION                  this Region (Lambda sets it)                                 required
BEACON_ENDPOINTS            ``region=host[:port],...``, this Region first, at most 10    required
BEACON_DB_USER              the database role to log in as, not ``admin``                required
BEACON_PROBE_DEADLINE_MS    time for a whole probe, 100-1500                             1000
BEACON_FALL                 consecutive fails that take an endpoint down, 1-20           5
BEACON_RISE                 consecutive passes that bring it back, 1-20                  2
BEACON_FAILBACK_HOLD_S      seconds that a recovered endpoint is not preferred, 0-3600   90
BEACON_RANKING              ``latency`` or ``priority`` (the order of BEACON_ENDPOINTS)  latency
BEACON_RANK_MARGIN_PCT      gain in latency that a change of rank needs, 0-90            30
BEACON_RECHECK_MS           time between the starts of rechecks within a run, 50-5000    750
BEACON_PUBLISH_EVERY_S      the publisher's schedule, 10-300                             60
BEACON_WRITE_CANARY         ``on``: commit a row in this Region with each tick           off
BEACON_SPEED_PCT            shortens waits between rounds, 100-10000 (for a lab)         100
BEACON_PUBLISHER_FUNCTION   the publisher's name, for the edge trigger                   none
BEACON_DIAL                 ``host=address:port,...``: connect there, do not resolve     none
BEACON_CA_FILE              trusted certificates (PEM) in place of the system's          the system's
=========================== ============================================================ ==================
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from beacon.model import Endpoint, Policy
from beacon.names import TARGET, host_problem, service_name

__all__ = ["RECHECK_MS", "Settings", "SettingsError"]

#: Milliseconds between the starts of rechecks, unless set otherwise (docs/adr/0007-defaults.md).
RECHECK_MS = 750
# Bounded, so that a role name that holds both and a Region fits IAM's 64 characters, and the search string
# the first 200 bytes of an answer; template.yaml has the same bounds.
# SSM keeps names that begin with aws or ssm to itself, and the parameters begin with the app's.
_APP = re.compile(r"(?=.{1,20}$)(?!aws|ssm)[a-z][a-z0-9]*(-[a-z0-9]+)*")
_ENV = re.compile(r"(?=.{1,12}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
# `admin` logs in with another action (DbConnectAdmin), which no role of Beacon's holds.
_ROLE = re.compile(r"(?!admin$)[a-z_][a-z0-9_]{0,62}")
_FUNCTION = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Letters of any alphabet; no control character, and no byte that is not UTF-8 (a surrogate, to Python).
_FILE = re.compile(r"/[^\x00-\x1f\x7f\ud800-\udfff]{1,1023}")
#: A document must fit the 4,096 bytes of a parameter.
_MOST_ENDPOINTS = 10


class SettingsError(Exception):
    """Settings that cannot be used; ``reasons`` holds a sentence for each of them."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__(f"{len(reasons)} setting(s) cannot be used: " + "; ".join(reasons))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a function of one Region needs to know; see the module's table."""

    app: str
    env: str
    region: str
    endpoints: tuple[Endpoint, ...]
    db_user: str
    probe_deadline_s: float = 1.0
    recheck_s: float = RECHECK_MS / 1000
    publish_every_s: int = 60
    write_canary: bool = False
    speed: float = 1.0
    policy: Policy = field(default_factory=Policy)
    publisher_function: str | None = None
    ca_file: str | None = None
    database: str = "postgres"
    target: str = TARGET

    @property
    def service(self) -> str:
        """The deployment's name, ``{app}-{env}``."""
        return service_name(self.app, self.env)

    @property
    def own_endpoint(self) -> Endpoint:
        """This Region's endpoint."""
        return next(endpoint for endpoint in self.endpoints if endpoint.region == self.region)

    @property
    def parameter_path(self) -> str:
        """The SSM path that holds ``endpoint`` and ``document``."""
        return f"/{self.app}/{self.env}/{self.target}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read and validate ``environment``; raise :class:`SettingsError` with every reason at once."""
        reader = _Reader(environment)
        app = reader.matching(
            "BEACON_APP",
            _APP,
            "at most 20 lower-case letters, digits and inner hyphens, beginning with neither aws nor ssm",
        )
        env = reader.matching("BEACON_ENV", _ENV, "at most 12 lower-case letters, digits and inner hyphens")
        region = reader.matching("AWS_REGION", _REGION, "a Region such as us-east-1")
        endpoints = reader.endpoints(region)
        settings = cls(
            app=app,
            env=env,
            region=region,
            endpoints=reader.dialled(endpoints),
            db_user=reader.matching(
                "BEACON_DB_USER", _ROLE, "a PostgreSQL role name in lower case, not admin"
            ),
            probe_deadline_s=reader.number("BEACON_PROBE_DEADLINE_MS", 1000, 100, 1500) / 1000,
            recheck_s=reader.number("BEACON_RECHECK_MS", RECHECK_MS, 50, 5000) / 1000,
            publish_every_s=reader.number("BEACON_PUBLISH_EVERY_S", 60, 10, 300),
            write_canary=reader.choice("BEACON_WRITE_CANARY", "off", ("off", "on")) == "on",
            speed=reader.number("BEACON_SPEED_PCT", 100, 100, 10_000) / 100,
            policy=Policy(
                fall=reader.number("BEACON_FALL", 5, 1, 20),
                rise=reader.number("BEACON_RISE", 2, 1, 20),
                failback_hold_s=reader.number("BEACON_FAILBACK_HOLD_S", 90, 0, 3600),
                ranking=reader.choice("BEACON_RANKING", "latency", ("latency", "priority")),
                rank_margin=reader.number("BEACON_RANK_MARGIN_PCT", 30, 0, 90) / 100,
            ),
            publisher_function=reader.optional("BEACON_PUBLISHER_FUNCTION", _FUNCTION, "a function's name"),
            ca_file=reader.optional("BEACON_CA_FILE", _FILE, "an absolute path"),
        )
        if reader.reasons:
            raise SettingsError(reader.reasons)
        return settings


class _Reader:
    """Reads single values and collects every reason against them; a refused one yields its fallback."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.reasons: list[str] = []

    def matching(self, name: str, pattern: re.Pattern[str], wanted: str) -> str:
        value = self._environment.get(name, "")
        if not value:
            self.reasons.append(f"{name} is missing: set it to {wanted}")
        elif not pattern.fullmatch(value):
            self.reasons.append(f"{name} must be {wanted}, not {value!r}")
        return value

    def optional(self, name: str, pattern: re.Pattern[str], wanted: str) -> str | None:
        return self.matching(name, pattern, wanted) if self._environment.get(name) else None

    def number(self, name: str, default: int, low: int, high: int) -> int:
        text = self._environment.get(name) or str(default)
        if re.fullmatch(r"[0-9]{1,9}", text) and low <= int(text) <= high:
            return int(text)
        self.reasons.append(f"{name} must be a whole number from {low} to {high}, not {text!r}")
        return default

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        text = self._environment.get(name) or default
        if text in choices:
            return text
        self.reasons.append(f"{name} must be one of {', '.join(choices)}, not {text!r}")
        return default

    def endpoints(self, own_region: str) -> tuple[Endpoint, ...]:
        entries = self._pairs("BEACON_ENDPOINTS", "region=host[:port]")
        if not entries and not self._environment.get("BEACON_ENDPOINTS"):
            self.reasons.append(
                "BEACON_ENDPOINTS is missing: set it to region=host,... with this Region first"
            )
            return ()
        endpoints: list[Endpoint] = []
        for region, address in entries:
            endpoint = self._endpoint(region, address)
            if endpoint is None:
                continue
            if any(other.region == region for other in endpoints):
                self.reasons.append(f"BEACON_ENDPOINTS names {region} twice")
            elif any(other.host == endpoint.host for other in endpoints):
                self.reasons.append(f"BEACON_ENDPOINTS names {endpoint.host} twice")
            else:
                endpoints.append(endpoint)
        regions = [region for region, _ in entries]
        if own_region and own_region not in regions:
            self.reasons.append(f"BEACON_ENDPOINTS lacks this Region, {own_region}")
        elif own_region and own_region != regions[0]:
            self.reasons.append(f"BEACON_ENDPOINTS must name this Region, {own_region}, first")
        if len(entries) > _MOST_ENDPOINTS:
            self.reasons.append(
                f"BEACON_ENDPOINTS names {len(entries)} endpoints, and at most {_MOST_ENDPOINTS} are possible"
            )
        return tuple(endpoints)

    def _endpoint(self, region: str, address: str) -> Endpoint | None:
        host, colon, port = address.partition(":")
        if not _REGION.fullmatch(region):
            problem: str | None = f"{region!r} is not a Region"
        elif colon and not _is_port(port):
            problem = f"{port!r} is not a port"
        else:
            problem = host_problem(host, region)
        if problem:
            self.reasons.append(f"BEACON_ENDPOINTS: {problem}")
            return None
        return Endpoint(region, host, int(port) if colon else 5432)

    def dialled(self, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        dials: dict[str, tuple[str, int]] = {}
        for host, where in self._pairs("BEACON_DIAL", "host=address:port"):
            address, _, port = where.rpartition(":")
            address = address.removeprefix("[").removesuffix("]")
            if not _is_address(address) or not _is_port(port):
                self.reasons.append(f"BEACON_DIAL: {where!r} is not an IP address and a port")
            elif host in dials:
                self.reasons.append(f"BEACON_DIAL names {host!r} twice")
            else:
                dials[host] = (address, int(port))
        return tuple(replace(endpoint, dial=dials.get(endpoint.host)) for endpoint in endpoints)

    def _pairs(self, name: str, form: str) -> list[tuple[str, str]]:
        pairs = []
        for item in filter(None, (part.strip() for part in self._environment.get(name, "").split(","))):
            key, equals, value = item.partition("=")
            if equals and key and value:
                pairs.append((key, value))
            else:
                self.reasons.append(f"{name}: {item!r} is not {form}")
        return pairs


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 1 <= int(text) <= 65535


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
