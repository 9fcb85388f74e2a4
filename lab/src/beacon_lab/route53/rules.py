"""The rules by which Route 53 health checks decide, as pure functions.

Sources: Route 53 Developer Guide ("How Amazon Route 53 determines whether a health check is healthy") and the
API reference of HealthCheckConfig. Each row below is read by a test.

1. One checker, one attempt. A TLS handshake counts towards the status.

    | type        | connected within | status within | status    | body within | string | passes |
    | ----------- | ---------------- | ------------- | --------- | ----------- | ------ | ------ |
    | TCP         | 10 s             | -             | -         | -           | -      | yes    |
    | HTTP(S)     | 4 s              | 2 s           | 2xx, 3xx  | -           | -      | yes    |
    | HTTP(S)     | 4 s              | 2 s           | any other | -           | -      | no     |
    | *_STR_MATCH | 4 s              | 2 s           | 2xx, 3xx  | 2 s         | found  | yes    |
    | *_STR_MATCH | 4 s              | 2 s           | 2xx, 3xx  | 2 s         | absent | no     |
    | *_STR_MATCH | 4 s              | 2 s           | any other | 2 s         | found  | no     |
    | any         | a limit passed, refused, reset, broken TLS, not HTTP            |        | no     |

    The status is timed from the TCP connection on, the body from the status on.
    "Found": the whole string lies in the first 5,120 bytes of the body, in the same letter case.

2. One checker, many attempts (FailureThreshold = t counts both ways; any attempt that agrees starts the
count again).

    | state     | attempts in a row that disagree | becomes   |
    | --------- | ------------------------------- | --------- |
    | none yet  | -                               | healthy   |
    | healthy   | t fails                         | unhealthy |
    | healthy   | fewer than t fails              | healthy   |
    | unhealthy | t passes                        | healthy   |
    | unhealthy | fewer than t passes             | unhealthy |

3. The check: what the checkers say together, then Disabled, then Inverted.

    | checkers that say healthy | disabled | inverted | check is  |
    | ------------------------- | -------- | -------- | --------- |
    | more than 18 %            | no       | no       | healthy   |
    | 18 % or fewer             | no       | no       | unhealthy |
    | more than 18 %            | no       | yes      | unhealthy |
    | 18 % or fewer             | no       | yes      | healthy   |
    | no data yet               | no       | no       | healthy   |
    | no data yet               | no       | yes      | unhealthy |
    | any                       | yes      | no       | healthy   |
    | any                       | yes      | yes      | unhealthy |

    The last row is a reading of the documentation, which says that a disabled check counts as healthy and
    that Inverted is the way to stop traffic to its resource.

4. A calculated check with HealthThreshold h: healthy when at least h children are; h = 0 is always healthy.
A child
    that does not exist counts as healthy. Disabled and Inverted apply as in table 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from beacon.predict import HEALTHY_SHARE_PERCENT

CONNECT_LIMIT_S = 4.0
TCP_CONNECT_LIMIT_S = 10.0
STATUS_LIMIT_S = 2.0
BODY_LIMIT_S = 2.0
BODY_BYTES = 5120
#: The eight documented places that checkers stand in.
CHECKER_REGIONS = (
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
)


class CheckType(StrEnum):
    """The types of health check that the lab runs, by their names in the API."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"
    HTTP_STR_MATCH = "HTTP_STR_MATCH"
    HTTPS_STR_MATCH = "HTTPS_STR_MATCH"
    TCP = "TCP"
    CALCULATED = "CALCULATED"

    @property
    def tls(self) -> bool:
        """Whether checkers speak TLS."""
        return self in (CheckType.HTTPS, CheckType.HTTPS_STR_MATCH)

    @property
    def matches_string(self) -> bool:
        """Whether the body must hold the search string."""
        return self in (CheckType.HTTP_STR_MATCH, CheckType.HTTPS_STR_MATCH)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """A health check as it is defined; raises ValueError on values that Route 53 refuses."""

    id: str
    type: CheckType
    fqdn: str = ""
    ip_address: str = ""
    port: int = 443
    path: str = "/"
    search_string: str = ""
    request_interval_s: int = 30
    failure_threshold: int = 3
    inverted: bool = False
    disabled: bool = False
    enable_sni: bool = False
    regions: tuple[str, ...] = CHECKER_REGIONS
    children: tuple[str, ...] = ()
    health_threshold: int = 0

    def __post_init__(self) -> None:
        if self.type is CheckType.CALCULATED:
            if not 0 <= self.health_threshold <= 256 or len(self.children) > 255:
                raise ValueError(f"calculated check {self.id}: HealthThreshold 0-256, at most 255 children")
            return
        problems = [
            sentence
            for wrong, sentence in (
                (not (self.fqdn or self.ip_address), "neither FullyQualifiedDomainName nor IPAddress"),
                (not 1 <= self.port <= 65535, f"Port {self.port} is outside 1-65535"),
                (
                    self.request_interval_s not in (10, 30),
                    f"RequestInterval {self.request_interval_s} is not 10 or 30",
                ),
                (
                    not 1 <= self.failure_threshold <= 10,
                    f"FailureThreshold {self.failure_threshold} is outside 1-10",
                ),
                (
                    self.type.matches_string and not 1 <= len(self.search_string) <= 255,
                    "SearchString is not 1-255 characters",
                ),
                (
                    not set(self.regions) <= set(CHECKER_REGIONS),
                    f"Regions {', '.join(self.regions)}: no checkers in one",
                ),
                (len(set(self.regions)) < 3, "fewer than 3 Regions"),
            )
            if wrong
        ]
        if problems:
            raise ValueError(f"health check {self.id}: {'; '.join(problems)}")

    @property
    def connect_limit_s(self) -> float:
        """Seconds that TCP may take to connect."""
        return TCP_CONNECT_LIMIT_S if self.type is CheckType.TCP else CONNECT_LIMIT_S


class Trouble(StrEnum):
    """What ended an attempt before an answer could be judged."""

    NAME = "name not resolved"
    REFUSED = "connection refused"
    UNREACHABLE = "unreachable"
    TLS = "TLS failed"
    RESET = "connection lost"
    NOT_HTTP = "not HTTP"


@dataclass(frozen=True, slots=True)
class PollAttempt:
    """What one checker met in one attempt; times in seconds, None where the attempt did not get that far."""

    #: From the start to the TCP connection.
    connect_s: float | None = None
    #: From the TCP connection to the status line and headers.
    status_s: float | None = None
    status: int | None = None
    phrase: str = ""
    #: From the status to the end of the body, or to its first 5,120 bytes.
    body_s: float | None = None
    body: bytes = b""
    trouble: Trouble | None = None


class PollResult(StrEnum):
    """How one attempt is judged; only PASS passes."""

    PASS = "pass"  # noqa: S105 - a result, not a password
    TROUBLE = "trouble"
    CONNECT_TIMEOUT = "connect timeout"
    STATUS_TIMEOUT = "status timeout"
    BAD_STATUS = "bad status"
    BODY_TIMEOUT = "body timeout"
    STRING_ABSENT = "string absent"


def judge_poll(check: HealthCheck, attempt: PollAttempt) -> PollResult:
    """Table 1."""
    if attempt.connect_s is None or attempt.connect_s > check.connect_limit_s:
        return PollResult.CONNECT_TIMEOUT if attempt.trouble is None else PollResult.TROUBLE
    if check.type is CheckType.TCP:
        return PollResult.PASS
    if attempt.status is None or attempt.status_s is None or attempt.status_s > STATUS_LIMIT_S:
        return PollResult.STATUS_TIMEOUT if attempt.trouble is None else PollResult.TROUBLE
    if not 200 <= attempt.status <= 399:
        return PollResult.BAD_STATUS
    return _judge_body(check, attempt) if check.type.matches_string else PollResult.PASS


def _judge_body(check: HealthCheck, attempt: PollAttempt) -> PollResult:
    if attempt.body_s is None or attempt.body_s > BODY_LIMIT_S:
        return PollResult.BODY_TIMEOUT if attempt.trouble is None else PollResult.TROUBLE
    found = check.search_string.encode() in attempt.body[:BODY_BYTES]
    return PollResult.PASS if found else PollResult.STRING_ABSENT


@dataclass(frozen=True, slots=True)
class CheckerState:
    """What one checker believes, and how many attempts in a row have disagreed."""

    healthy: bool = True
    against: int = 0


def count(tally: CheckerState, *, passed: bool, threshold: int) -> CheckerState:
    """Table 2."""
    if passed == tally.healthy:
        return CheckerState(healthy=tally.healthy)
    if tally.against + 1 >= threshold:
        return CheckerState(healthy=passed)
    return CheckerState(healthy=tally.healthy, against=tally.against + 1)


def enough_say_healthy(healthy: int, checkers: int) -> bool:
    """Whether more than 18 % of the checkers say healthy; with no checkers there is no data: healthy."""
    return checkers == 0 or healthy * 100 > HEALTHY_SHARE_PERCENT * checkers


def status(check: HealthCheck, votes: Iterable[bool]) -> bool:
    """Table 3: whether the check is healthy, given what each of its checkers says."""
    said = list(votes)
    healthy = check.disabled or enough_say_healthy(sum(said), len(said))
    return healthy != check.inverted


def calculated_status(check: HealthCheck, children: Iterable[bool]) -> bool:
    """Table 4: whether a calculated check is healthy, given whether each child is."""
    healthy = check.disabled or sum(children) >= check.health_threshold
    return healthy != check.inverted
