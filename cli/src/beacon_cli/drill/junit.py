"""A drill's report as JUnit XML, for pipelines: one test case for each thing that has to hold. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from beacon_cli.drill.picture import text_of
from beacon_cli.drill.report import Report, said_of

__all__ = ["junit_of"]


def junit_of(report: Report) -> str:
    """The whole file."""
    cases = list(_cases(report))
    name = f"beacon drill {report.region} by {report.kind}"
    failed = sum(bool(problem) for _, _, problem, _ in cases)
    skipped = sum(bool(skip) for *_, skip in cases)
    suite = (
        f'<testsuites><testsuite name="{text_of(name)}" tests="{len(cases)}" failures="{failed}" errors="0"'
        f' skipped="{skipped}" time="{max(0.0, report.ended_s):.2f}"'
        f' timestamp="{report.broken_at:%Y-%m-%dT%H:%M:%S}">'
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', suite]
    for title, took_s, problem, skip in cases:
        open_tag = f'<testcase classname="{text_of(name)}" name="{text_of(title)}" time="{took_s:.2f}"'
        if problem:
            lines.append(f'{open_tag}><failure message="{text_of(problem)}"/></testcase>')
        elif skip:
            lines.append(f'{open_tag}><skipped message="{text_of(skip)}"/></testcase>')
        else:
            lines.append(f"{open_tag}/>")
    return "\n".join([*lines, "</testsuite></testsuites>", ""])


def _cases(report: Report) -> Iterator[tuple[str, float, str, str]]:
    """Title, seconds, what is wrong, and why it was left out."""
    for one in report.results:
        title = f"{one.expected.track}: {one.expected.phase.value}"
        yield title, one.measured_s or 0.0, "" if one.verdict.passes else said_of(one), ""
    yield "nothing else changes", 0.0, "; ".join(report.strangers), ""
    consumer = report.consumer
    wrong = "; ".join(consumer.complaints) if consumer else ""
    gap_s = consumer.longest_gap.length_s if consumer else 0.0
    yield "the consumer loses no row", gap_s, wrong, report.no_consumer if consumer is None else ""
    yield "everything is repaired", report.repaired_s or 0.0, "" if report.whole else report.repair, ""
    yield "it runs to its end", 0.0, "it was interrupted" if report.interrupted else "", ""
