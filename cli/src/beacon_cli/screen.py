"""`beacon status` as one screen: lines of plain words and, where the terminal has them, colours.

It fits 80 columns and 24 rows: what has no room is counted in the last line. Nothing here decides anything.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from rich.text import Text

from beacon.model import EndpointState
from beacon_cli.situation.finding import Finding, Level, span
from beacon_cli.situation.model import Fact, Known, RecordAnswer, RegionSituation, Situation, known
from beacon_cli.situation.regions import seen_by
from beacon_cli.situation.routes import order_of
from beacon_cli.situation.sentences import Explanation

__all__ = ["COLUMNS", "ROWS", "finding_lines", "status_lines"]

COLUMNS, ROWS = 80, 24
_STYLES = {
    Level.BAD: "bold red",
    Level.WARN: "yellow",
    Level.UNKNOWN: "magenta",
    Level.INFO: "",
    Level.DETAIL: "dim",
}
_UNREAD = "?"
_WIDTHS = (15, 11, 9, 7, 10, 11, 8, 9)
_HEADS = ("Region", "checkers", "observed", "forced", "effective", "document", "alarms", "version")


def status_lines(
    situation: Situation, explanation: Explanation, *, columns: int = COLUMNS, rows: int = ROWS
) -> list[Text]:
    """The screen, at most ``rows`` lines of at most ``columns``; only a command may be longer than a line."""
    columns = max(columns, COLUMNS)
    lines = [Text(f"{situation.service}  {situation.at:%Y-%m-%d %H:%M:%S} UTC", "bold")]
    head = explanation.headline
    style = "bold green" if head.level in {Level.DETAIL, Level.INFO} else _STYLES[head.level]
    lines += [Text(line, style) for line in textwrap.wrap(head.text, columns)]
    lines += [Text(), *_routes(situation), Text(), *_table(situation), Text()]
    told = [one for one in explanation.findings if one.level is not Level.DETAIL]
    return [*lines, *_fitting(told, columns, max(3, rows - len(lines)))]


def _routes(situation: Situation) -> list[Text]:
    lines = [Text(f"DNS  {situation.record_name or 'no record'}  {_led(situation.authoritative)}")]
    if situation.cached is not None:
        lines.append(Text(f"     this machine's resolver  {_led(situation.cached)}"))
    for one in situation.regions:
        shown = order_of(situation, one.region) or _UNREAD
        lines.append(Text(f"SSM  {one.region}  {shown}{_frozen(one)}"))
    return lines


def _led(fact: Fact[RecordAnswer] | None) -> str:
    if fact is None:
        return ""
    if not isinstance(fact, Known):
        return _UNREAD
    answer = fact.value
    return f"-> {answer.region or answer.target}, TTL {answer.ttl_s} s"


def _frozen(one: RegionSituation) -> str:
    published = known(one.document)
    return "  frozen" if published is not None and published.document.frozen else ""


def _table(situation: Situation) -> list[Text]:
    lines = [Text(_row(_HEADS), "dim")]
    for one in situation.regions:
        state = next(iter(seen_by(situation, one.region).values()), None)
        row = (one.region, _checkers(one), *_state(state), _age(situation, one), _alarms(one), _version(one))
        style = {True: "green", False: "red", None: ""}[one.healthy]
        line = Text(_row(row))
        line.stylize(style, _WIDTHS[0], _WIDTHS[0] + _WIDTHS[1])
        lines.append(line)
    return lines


def _row(cells: Iterable[str]) -> str:
    return "".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()


def _checkers(one: RegionSituation) -> str:
    report = known(one.check)
    if report is None:
        return _UNREAD
    mark = "disabled" if report.check.disabled else "inverted" if report.check.inverted else ""
    mark = mark or {True: "in", False: "out", None: _UNREAD}[report.healthy]
    return f"{report.tally.passed}/{report.tally.fresh} {mark}"


def _state(state: EndpointState | None) -> tuple[str, str, str]:
    if state is None:
        return (_UNREAD,) * 3
    return state.observed.value, state.forced.value if state.forced else "-", state.effective.value


def _age(situation: Situation, one: RegionSituation) -> str:
    published = known(one.document)
    if published is None:
        return _UNREAD
    return f"{span(published.age_s(situation.at))}{' old' if published.stale(situation.at) else ''}"


def _alarms(one: RegionSituation) -> str:
    alarms = known(one.alarms)
    if alarms is None:
        return _UNREAD
    on = sum(alarm.state == "ALARM" for alarm in alarms)
    return f"{on} on" if on else "none" if not alarms else "ok"


def _version(one: RegionSituation) -> str:
    stack = known(one.stack)
    return _UNREAD if stack is None else stack.version or "-"


def finding_lines(finding: Finding, columns: int) -> list[Text]:
    """A finding, wrapped, and its command on a line of its own that can be copied."""
    style = _STYLES[finding.level]
    mark = {Level.BAD: "!! ", Level.WARN: "!  ", Level.UNKNOWN: "?  "}.get(finding.level, "-  ")
    lines = textwrap.wrap(finding.text, columns, initial_indent=mark, subsequent_indent="   ")
    command = [Text(f"   {finding.command}", "cyan")] if finding.command else []
    return [Text(line, style) for line in lines] + command


def _fitting(findings: list[Finding], columns: int, rows: int) -> list[Text]:
    """As many findings as there are rows for; the last line counts the rest."""
    lines: list[Text] = []
    for number, finding in enumerate(findings):
        more = finding_lines(finding, columns)
        taken = sum(max(1, -(-len(line.plain) // columns)) for line in [*lines, *more])
        is_last = number == len(findings) - 1
        if taken > rows - (0 if is_last else 1):
            return [*lines, Text(f"   {len(findings) - number} more: beacon explain", "dim")]
        lines += more
    return lines
