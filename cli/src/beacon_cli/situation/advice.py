"""What an operator does about each reason code, as the runbook has it. Pure."""

from __future__ import annotations

from beacon.outcome import Reason

__all__ = ["ADVICE", "ALARM_ADVICE", "alarm_advice"]

_DASHBOARD = "look at the AWS Health Dashboard"

#: Reason code -> what it means for the Region, and what to do.
ADVICE: dict[str, str] = {
    Reason.TIMEOUT.value: f"The endpoint is silent or too slow: {_DASHBOARD}.",
    Reason.REFUSED.value: f"The endpoint rejects connections: {_DASHBOARD}; was the cluster deleted?",
    Reason.RESET.value: f"The endpoint ends connections: {_DASHBOARD}.",
    Reason.NAME.value: "The endpoint's name does not resolve: compare it with samconfig.toml.",
    Reason.TLS.value: "The TLS handshake fails: look for a proxy or a VPC endpoint in between.",
    Reason.CERTIFICATE.value: "The certificate is not the endpoint's: look for a proxy in between.",
    Reason.LOGIN_REJECTED.value: "The database rejects the functions' login: look at the grants.",
    Reason.TOO_MANY_CONNECTIONS.value: "The cluster takes no more connections: look at your pools.",
    Reason.UNAVAILABLE.value: f"The server starts, stops or ends sessions: wait a minute, then {_DASHBOARD}.",
    Reason.SERVER_ERROR.value: "The server answers with an error: its log has the SQLSTATE.",
    Reason.BAD_ANSWER.value: "The answer is none of a database: compare the host with samconfig.toml.",
    Reason.NO_CREDENTIALS.value: "The function has no credentials: look at its role.",
    Reason.CONFIGURATION.value: "The function's settings cannot be used: its log lists every wrong one.",
    Reason.INTERNAL.value: "A defect of Beacon's, or a sandbox out of resources: look at the log.",
}

#: End of an alarm's name -> what it means and what to do; docs/runbook.md has the long form.
ALARM_ADVICE: dict[str, str] = {
    "document-too-old": "no document reached SSM for as long as the last one is valid",
    "publisher-fails": "the publisher ends with an error; its log names the setting",
    "health-fails": "the health function crashes; look at what was deployed last",
    "health-throttled": "Lambda rejects requests; raise HealthReservedConcurrency",
    "probes-fail": "probes failed in five of ten minutes",
    "intent-unreadable": "a function cannot read the intents, so a drain may go unseen",
    "logins-in-trouble": "new logins meet limits; lower your pools' sizes if it lasts",
    "drained-too-long": "a Region has been drained for two hours; was it forgotten?",
    "checkers-disagree": "fewer than 80 % of the checkers get through",
    "no-region-serves": "every Region is unhealthy, or none is checked",
    "unhealthy": "the Region is out of DNS",
}


def alarm_advice(name: str) -> str:
    """What the alarm called ``name`` means; empty for one that is not of Beacon's templates."""
    return next((said for end, said in ALARM_ADVICE.items() if name.endswith(end)), "")
