"""What Beacon costs in a Region and month, each part with its formula. docs/cost.md holds the tables.

Amounts are US dollars for us-east-1, before free tiers and discounts, for a month of 730 hours in which
nothing breaks. Prices are AWS's list prices as of November 2026. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ALWAYS_SENT", "SENT_AT_TIMES", "Line", "Setting", "lines", "requests", "total"]

MONTH_S = 730 * 3600
MONTH_MIN = 730 * 60
MILLION = 1_000_000
GB = 1_000_000_000

# Prices.
CHECK_OF_AN_AWS_ENDPOINT, CHECK_OPTION = 0.50, 1.00
REST_REQUEST, TRANSFER_GB = 3.50 / MILLION, 0.09
INVOCATION, LAMBDA_GB_S = 0.20 / MILLION, 0.0000133334
TICK = 1.00 / MILLION
DPU = 8.00 / MILLION
LOG_GB, STORED_GB_MONTH = 0.50, 0.03
METRIC, ALARM_METRIC, DASHBOARD = 0.30, 0.10, 3.00
WEB_ACL, WEB_ACL_RULE, WEB_ACL_REQUEST = 5.00, 1.00, 0.60 / MILLION
TRACE = 5.00 / MILLION

# Assumptions. If a figure was measured, the assumption is not smaller.
CHECKERS_PER_REGION = 2
HEALTH_S = 0.010
PUBLISHER_GB, ROUND_S, LOOP_S = 0.5, 0.25, 50.0
ANSWER_BYTES = 1_100
SELECT_DPU = 0.007
#: A transaction that writes is billed at least 0.05, and again in the peer Region. The rest is for what a
#: small transaction computes and reads.
LEAST_WRITE_DPU = 0.05
COMMIT_DPU = 2 * LEAST_WRITE_DPU + 0.02
#: The line with the latency, and Lambda's own START, END and REPORT; each line is billed 26 bytes more.
LATENCY_LINE_BYTES = 330
HEALTH_LOG_BYTES = LATENCY_LINE_BYTES + 350
ROUND_LOG_BYTES = 1_900
ACCESS_LOG_BYTES = 400
#: WAF also logs the requests that it admits: the template sets no filter.
WEB_ACL_LOG_BYTES = 1_200
#: The share of a byte that CloudWatch Logs stores, by the example on its price page.
COMPRESSION = 0.15

#: The metrics that the template's eight alarms look at, and global.yaml's for each Region.
ALARM_METRICS = 8
GLOBAL_ALARM_METRICS = 3
WEB_ACL_RULES = 2
#: Metrics that a Region sends in every hour, and the number of their sets of dimensions. A metric that is not
#: sent for an hour costs nothing in that hour.
ALWAYS_SENT = {
    "ProbeLatency": 1,
    "ColdStart": 1,  # new sandboxes start every few hours: counted as if always
    "Reconnects": 1,
    "Ejections": 1,
    "Frozen": 1,
    "IntentUnreadable": 1,  # the publisher's, which also sends zeros
    "DocumentWritten": 1,
    "DocumentAge": 1,
}
#: Sent once for each Region's endpoint.
PER_ENDPOINT = {"EndpointUp": 1}
#: Only with the write canary.
CANARY_SENT = {"WriteCanaryFail": 1}
#: Only while a fault or a drain lasts.
SENT_AT_TIMES = ("Drained", "LoginWarning", "ProbeFail")


@dataclass(frozen=True, slots=True)
class Setting:
    """What the cost of a Region depends on; the defaults are the template's, for two Regions."""

    interval_s: int = 10
    checker_regions: int = 3
    health_memory_mb: int = 1024
    publish_every_s: int = 60
    write_canary: bool = False
    retention_days: int = 365
    alarms: bool = True
    web_acl: bool = False
    access_logs: bool = False
    tracing: bool = False
    regions: int = 2
    #: global.yaml, once for a deployment: alarms on each Region's health check, a dashboard for all of them.
    global_stack: bool = False
    dashboard: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the cost: its name, its formula, and dollars a month."""

    part: str
    formula: str
    usd: float


def requests(setting: Setting) -> float:
    """The checkers' requests in a month: each of them sends one in an interval."""
    return setting.checker_regions * CHECKERS_PER_REGION * MONTH_S / setting.interval_s


def total(setting: Setting) -> float:
    """Dollars a Region and month."""
    return sum(line.usd for line in lines(setting))


def lines(setting: Setting) -> tuple[Line, ...]:
    """Every part that costs something under ``setting``."""
    found = (*_asked(setting), *_published(setting), *_kept(setting), *_watched(setting), *_guarded(setting))
    return tuple(line for line in found if line.usd)


def _asked(setting: Setting) -> tuple[Line, ...]:
    asked = requests(setting)
    fast = setting.interval_s == 10
    options = 3 if fast else 2
    said = "HTTPS, string" + (", fast" if fast else "")
    memory_gb = setting.health_memory_mb / 1024
    return (
        Line(
            "Route 53 health check",
            f"0.50 + {options} options ({said}) x 1.00",
            CHECK_OF_AN_AWS_ENDPOINT + options * CHECK_OPTION,
        ),
        Line("API Gateway requests", f"{asked / MILLION:.3f} million x 3.50", asked * REST_REQUEST),
        Line(
            "Answers sent",
            f"{asked / MILLION:.3f} million x {ANSWER_BYTES / 1000:g} KB x 0.09 a GB",
            asked * ANSWER_BYTES / GB * TRANSFER_GB,
        ),
        Line(
            "Health function",
            f"{asked / MILLION:.3f} million x (0.20 a million"
            f" + {HEALTH_S * 1000:g} ms x {memory_gb:g} GB x 0.0000133334)",
            asked * (INVOCATION + HEALTH_S * memory_gb * LAMBDA_GB_S),
        ),
        Line(
            "The probes' SELECTs",
            f"{asked / MILLION:.3f} million x {SELECT_DPU:g} DPU x 8 a million",
            asked * SELECT_DPU * DPU,
        ),
    )


def _rounds(setting: Setting) -> tuple[float, float, float]:
    """Ticks and rounds a month, and seconds that a tick's invocation lasts."""
    ticks = MONTH_S / max(60, setting.publish_every_s)
    if setting.publish_every_s >= 60:
        return ticks, ticks, ROUND_S
    # The last one ends by second 50, so the last period of the minute has none.
    return ticks, ticks * (LOOP_S // setting.publish_every_s), LOOP_S


def _published(setting: Setting) -> tuple[Line, ...]:
    ticks, rounds, lasts_s = _rounds(setting)
    canary = Line(
        "Write canary",
        f"{ticks:,.0f} commits x {COMMIT_DPU:g} DPU x 8 a million, and a metric and its 0.30",
        ticks * COMMIT_DPU * DPU + sum(CANARY_SENT.values()) * METRIC,
    )
    return (
        Line(
            "Publisher",
            f"{ticks:,.0f} x (0.20 a million + {lasts_s:g} s x {PUBLISHER_GB:g} GB x 0.0000133334)",
            ticks * (INVOCATION + lasts_s * PUBLISHER_GB * LAMBDA_GB_S),
        ),
        Line(
            "Its schedule and SELECTs",
            f"{ticks:,.0f} x 1.00 a million"
            f" + {rounds:,.0f} x {setting.regions} x {SELECT_DPU:g} DPU x 8 a million",
            ticks * TICK + rounds * setting.regions * SELECT_DPU * DPU,
        ),
        *([canary] if setting.write_canary else []),
    )


def _kept(setting: Setting) -> tuple[Line, ...]:
    asked, (_, rounds, _) = requests(setting), _rounds(setting)
    access = asked * ACCESS_LOG_BYTES / GB if setting.access_logs else 0.0
    own = (asked * HEALTH_LOG_BYTES + rounds * ROUND_LOG_BYTES) / GB
    months = setting.retention_days / 365 * 12
    stored = (own + access) * months * COMPRESSION
    return (
        Line(
            "Functions' logs",
            f"({asked / MILLION:.3f} million x {HEALTH_LOG_BYTES} B"
            f" + {rounds:,.0f} x {ROUND_LOG_BYTES} B) x 0.50 a GB",
            own * LOG_GB,
        ),
        Line(
            "Access logs",
            f"{asked / MILLION:.3f} million x {ACCESS_LOG_BYTES} B x 0.50 a GB",
            access * LOG_GB,
        ),
        Line(
            "Logs kept",
            f"{setting.retention_days} days x {COMPRESSION:g} (compressed) x 0.03 a GB and month",
            stored * STORED_GB_MONTH,
        ),
    )


def _watched(setting: Setting) -> tuple[Line, ...]:
    metrics = sum(ALWAYS_SENT.values()) + setting.regions * sum(PER_ENDPOINT.values())
    asked, (ticks, _, _) = requests(setting), _rounds(setting)
    shared = [
        Line(
            "Alarms of global.yaml",
            f"{GLOBAL_ALARM_METRICS} x 0.10 for this Region's check",
            GLOBAL_ALARM_METRICS * ALARM_METRIC,
        ),
        Line("Dashboard of global.yaml", f"3.00 / {setting.regions} Regions", DASHBOARD / setting.regions),
    ]
    return (
        Line("Custom metrics", f"{metrics} x 0.30", metrics * METRIC),
        *(
            [Line("Alarms", f"{ALARM_METRICS} x 0.10", ALARM_METRICS * ALARM_METRIC)]
            if setting.alarms
            else []
        ),
        *(shared[: 2 if setting.dashboard else 1] if setting.global_stack else []),
        *(
            [Line("X-Ray", f"{(asked + ticks) / MILLION:.3f} million traces x 5.00", (asked + ticks) * TRACE)]
            if setting.tracing
            else []
        ),
    )


def _guarded(setting: Setting) -> tuple[Line, ...]:
    if not setting.web_acl:
        return ()
    asked = requests(setting)
    return (
        Line(
            "WAF",
            f"5.00 + {WEB_ACL_RULES} rules x 1.00 + {asked / MILLION:.3f} million x 0.60",
            WEB_ACL + WEB_ACL_RULES * WEB_ACL_RULE + asked * WEB_ACL_REQUEST,
        ),
        Line(
            "WAF's log",
            f"{asked / MILLION:.3f} million x {WEB_ACL_LOG_BYTES} B x 0.50 a GB",
            asked * WEB_ACL_LOG_BYTES / GB * LOG_GB,
        ),
    )
