"""Where clients go, by DNS and by SSM, and which Regions serve. Pure.

============================================  =======  ====================================================
what is known                                 level    the headline
============================================  =======  ====================================================
every check is unhealthy                      bad      no Region is healthy; Route 53 answers as if all were
DNS leads to a Region that is unhealthy, and  bad      clients are sent to a Region that is out; Route 53
another one is healthy                                 moves them within its next answers
as the next row, and a check is not known     unknown  the same, and which Regions are not known
a Region is unhealthy, DNS leads to another   info     the one is out, the others serve, and where DNS leads
a Region is unhealthy, the rest not known     warn     the same, as far as it is known
no check is unhealthy, some are not known     unknown  which Regions are healthy, and which not known
every check is healthy                        detail   every Region is healthy, and where DNS leads
no check is known                             unknown  which Regions serve is not known
============================================  =======  ====================================================
"""

from __future__ import annotations

from beacon.model import Effective
from beacon_cli.situation.finding import Finding, Level, joined, span
from beacon_cli.situation.model import Known, Situation, known

__all__ = ["by_dns", "by_ssm", "headline", "order_of"]


def headline(situation: Situation) -> Finding:
    """The module's table."""
    out = [one.region for one in situation.regions if one.healthy is False]
    serving = [one.region for one in situation.regions if one.healthy]
    answer = known(situation.authoritative)
    led = answer.region if answer else ""
    if not out and not serving:
        return Finding(Level.UNKNOWN, f"Which Regions serve is not known. {_dns_goes(situation)}")
    if not serving and len(out) < len(situation.regions):
        text = f"{joined(out)} {_is(out)} out of DNS, and nothing is known of the other Regions."
        return Finding(Level.WARN, f"{text} {_dns_goes(situation)}")
    if not serving:
        text = f"No Region is healthy: Route 53 answers as if all were. {_dns_goes(situation)}"
        return Finding(Level.BAD, text)
    if answer is not None and led in out:
        text = (
            f"Clients are still sent to {led}, which is out. Route 53 sends them to {joined(serving)} with"
            f" one of its next answers; resolvers keep the old one for up to {answer.ttl_s} s."
        )
        return Finding(Level.BAD, text)
    return _served(situation, out, serving)


def _served(situation: Situation, out: list[str], serving: list[str]) -> Finding:
    """The headline where Regions serve; a check that is not known keeps it from being good news."""
    missing = [one.region for one in situation.regions if one.healthy is None]
    said = "Every Region is healthy."
    if out:
        said = f"{joined(out)} {_is(out)} out of DNS, and {joined(serving)} {_serves(serving)}."
    elif missing:
        said = f"{joined(serving)} {_is(serving)} healthy."
    if missing:
        said += f" Whether {joined(missing)} {_serves(missing)} is not known."
    level = Level.UNKNOWN if missing else Level.INFO if out else Level.DETAIL
    return Finding(level, f"{said} {_dns_goes(situation)}")


def _dns_goes(situation: Situation) -> str:
    if situation.authoritative is None:
        return "There is no record yet, so no client comes by DNS."
    if not isinstance(situation.authoritative, Known):
        return "Where DNS sends clients is not known."
    answer = situation.authoritative.value
    if answer.is_address and not answer.region:
        return f"DNS sends clients to {answer.target}."
    where = answer.region or f"{answer.target}, which is no Region of {situation.service}"
    return f"DNS sends clients to {where}."


def by_dns(situation: Situation) -> list[Finding]:
    """What is to be said about the record beyond the headline."""
    answer, cached = known(situation.authoritative), known(situation.cached)
    found = []
    if answer is not None and answer.is_address and not answer.region:
        text = (
            f"{situation.record_name} is an alias, and {answer.target} is no address that a Region's own name"
            " has now: which Region it is, only the checks tell."
        )
        found.append(Finding(Level.INFO, text))
    elif answer is not None and not answer.region:
        text = f"{situation.record_name} leads to {answer.target}, which is no Region of {situation.service}."
        found.append(Finding(Level.WARN, text, f"dig {situation.record_name}"))
    if answer and cached and answer.leads_elsewhere(cached):
        text = (
            f"This machine's resolver still answers {cached.region or cached.target}, for another"
            f" {span(cached.ttl_s)}; clients behind such a resolver follow then."
        )
        found.append(Finding(Level.INFO, text))
    return found


def by_ssm(situation: Situation) -> list[Finding]:
    """Where readers of each Region's SSM are sent, and what is wrong with a document."""
    routes: dict[str, list[str]] = {}
    found: list[Finding] = []
    for one in situation.regions:
        published = known(one.document)
        if published is None:
            continue
        routes.setdefault(published.preferred.region, []).append(one.region)
        age = span(published.age_s(situation.at))
        log = f"aws logs tail /aws/lambda/{situation.service}-publisher --region {one.region} --since 15m"
        if published.stale(situation.at):
            text = (
                f"The document in SSM of {one.region} is {age} old and past its end: its publisher writes"
                " none, and readers take every endpoint in ranked order. DNS is not affected."
            )
            found.append(Finding(Level.WARN, text, log, one.region))
        if published.document.frozen:
            found.append(Finding(Level.WARN, _frozen(one.region, published.document.note), log, one.region))
        if published.endpoint and published.endpoint != published.preferred.host:
            text = f"The endpoint parameter of {one.region} is not the document's first host: look again."
            found.append(Finding(Level.INFO, text, "", one.region))
    ways = [f"SSM of {joined(observers)} sends readers to {region}" for region, observers in routes.items()]
    if ways:
        found.insert(0, Finding(Level.DETAIL, f"{'; '.join(ways)}."))
    return found


def _frozen(region: str, note: str) -> str:
    why = {
        "all_failed": "every endpoint failed for it in one round, so it may be cut off itself",
        "would_be_empty": "no endpoint would have been left",
    }.get(note, note)
    return f"The publisher of {region} keeps its last order (frozen): {why}."


def order_of(situation: Situation, observer: str) -> str:
    """The document's ranking, the endpoints that are out in parentheses; empty where it is not known."""
    published = known(situation.region(observer).document)
    if published is None:
        return ""
    return " > ".join(
        state.region if state.effective is Effective.IN else f"({state.region})"
        for state in published.document.endpoints
    )


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _serves(names: list[str]) -> str:
    return "serves" if len(names) == 1 else "serve"
