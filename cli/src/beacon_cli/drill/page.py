"""A drill's report as one HTML file: nothing is loaded, every text is escaped, and it prints on paper. Pure.

It is well-formed XML as well, so that any tool can read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from beacon_cli.drill.expected import Phase
from beacon_cli.drill.picture import Band, Lane, Mark, Moment, Segment, Tone, draw, text_of
from beacon_cli.drill.report import Report, outcome_of, reasons, seconds, seen_in
from beacon_cli.drill.tracks import ENDPOINT, FROZEN, UNREAD, Of, Track, row_in

__all__ = ["html_of", "picture_of"]

_BEFORE_S = 3.0
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2026; background: #fff; max-width: 1000px;
  margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: .2em } h2 { font-size: 1.1em; margin-top: 1.6em }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25em .6em;
  border-bottom: 1px solid #dfe2e6; vertical-align: top }
td:not(:last-child) { white-space: nowrap }
.outcome { display: inline-block; padding: .15em .7em; border-radius: 4px; font-weight: 700 }

.passed { background: #d7f0dd }
.failed, .interrupted { background: #f9d9d3 }
.no { color: #991b1b; font-weight: 600 } .key { color: #4a4f57; font-size: .9em }
@media print { body { margin: 0; max-width: none } details { display: none }
  h2, tr, svg { break-inside: avoid } }
@page { margin: 12mm }
"""


def html_of(report: Report) -> str:
    """The whole file."""
    outcome, against = outcome_of(report).value, reasons(report)
    title = f"Drill of {report.region} by {report.kind}: {outcome}"
    where = "on AWS" if report.speed is None else f"in a lab, {report.speed:g} times as fast as AWS"
    head = (
        f"{report.service}, {where}; broken at {report.broken_at:%Y-%m-%d %H:%M:%S} UTC by {report.actor};"
        f" {report.id}"
    )
    body = [
        f"<h1>Drill of {text_of(report.region)} by {text_of(report.kind)}</h1>",
        f"<p>{text_of(head)}</p>",
        f'<p><span class="outcome {outcome}">{outcome}</span></p>',
        *(_list(against) if against else []),
        "<h2>Timeline</h2>",
        picture_of(report),
        f'<p class="key">{_KEY}</p>',
        "<h2>Measured and predicted</h2>",
        _table(
            ("seen in", "", "measured", "predicted", "expected", "verdict", "cause"),
            [
                (
                    one.expected.track,
                    one.expected.phase.value,
                    seconds(one.measured_s),
                    seen_in(one.expected.predicted),
                    seconds(one.expected.predicted.expected_s),
                    one.verdict.value.replace("_", " "),
                    one.cause,
                )
                for one in report.results
            ],
        ),
        "<h2>Consumer</h2>",
        *_consumer(report),
        "<h2>Repair</h2>",
        f"<p>{text_of(_repair(report))}</p>",
        "<details><summary>Everything that was seen</summary>",
        *(_seen(track) for track in report.tracks),
        "</details>",
    ]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head><meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{text_of(title)}</title><style>{_STYLE}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )


_KEY = (
    "Green is in, red and hatched is out, amber is another Region, grey and dotted is not read. A blue band"
    " is the prediction, its triangle the expected time, and a thick line the measurement. Seconds count"
    " from the break."
)


def _repair(report: Report) -> str:
    if report.repaired_s is None:
        return f"Not repaired by this drill: {report.repair}."
    net = f"Without it, all of it ends after {report.limit_s:g} s."
    return f"After {report.repaired_s:.1f} s: {report.repair}. {net}"


def _list(sentences: Iterable[str]) -> list[str]:
    return ["<ul>", *(f'<li class="no">{text_of(one)}</li>' for one in sentences), "</ul>"]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{text_of(one)}</th>" for one in heads)
    lines = ["".join(f"<td>{text_of(cell)}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"


def _consumer(report: Report) -> list[str]:
    one = report.consumer
    if one is None:
        return [f"<p>There was none: {text_of(report.no_consumer)}.</p>"]
    found = "unknown" if one.found is None else str(one.found)
    rows = [
        ("rows acknowledged", str(one.acknowledged)),
        ("of them found again", found),
        ("attempts, failed ones", f"{one.attempts}, {one.failed}"),
        ("longest gap, predicted", f"{one.longest_gap.length_s:.1f} s, up to {one.gap_limit_s:.1f} s"),
        ("problems", ", ".join(f"{name} {number} times" for name, number in one.problems.items()) or "none"),
    ]
    return [_table(("consumer", "figure"), rows)]


def _seen(track: Track) -> str:
    rows = [
        (f"{one.at_s:.2f}", ", ".join(f"{key}: {word}" for key, word in one.value.items() if word))
        for one in track.points
    ]
    return f"<h3>{text_of(track.name)}</h3>" + _table(("from, s", "value"), rows)


def picture_of(report: Report) -> str:
    """The timeline as an SVG element."""
    lanes = [_lane(report, track) for track in report.tracks if track.of is not Of.FAULTS]
    if report.consumer is not None:
        lanes.append(_consumer_lane(report))
    moments = [Moment(0.0, "broken")]
    if report.repaired_s is not None:
        moments.append(Moment(report.repaired_s, "repaired"))
    title = f"Drill of {report.region} by {report.kind}"
    return draw(title, lanes, moments, from_s=-_BEFORE_S, to_s=report.ended_s)


def _lane(report: Report, track: Track) -> Lane:
    ends = [*(point.at_s for point in track.points[1:]), track.until_s]
    segments: list[Segment] = []
    for point, end in zip(track.points, ends, strict=True):
        tone, label = _shown(report, track, point.value)
        detail = ", ".join(f"{key}: {word}" for key, word in point.value.items() if word)
        last = segments[-1] if segments else None
        if last is not None and (last.tone, last.label) == (tone, label):
            segments[-1] = Segment(last.from_s, end, tone, label, last.detail)
        else:
            segments.append(Segment(point.at_s, end, tone, label, detail))
    bands, marks = [], []
    for one in report.results:
        if one.expected.track != track.name:
            continue
        zero = 0.0 if one.expected.phase is Phase.OUT else report.repaired_s
        if zero is None:
            continue
        predicted = one.expected.predicted
        bands.append(
            Band(zero + predicted.earliest_s, zero + predicted.latest_s, zero + predicted.expected_s)
        )
        if one.measured_s is not None:
            marks.append(Mark(zero + one.measured_s, seconds(one.measured_s), good=one.verdict.passes))
    return Lane(track.name, segments, bands, marks)


def _shown(report: Report, track: Track, value: object) -> tuple[Tone, str]:
    assert isinstance(value, dict)  # noqa: S101 - a point's value, which is made as one
    if UNREAD in value:
        return Tone.UNREAD, "not read"
    if track.of is Of.CHECK:
        return {"yes": (Tone.GOOD, "healthy"), "no": (Tone.BAD, "unhealthy")}.get(
            value.get("healthy", ""), (Tone.UNSURE, "unknown")
        )
    if track.of is Of.DNS:
        led = value.get("region") or value.get("target", "")
        return (Tone.UNSURE if led != report.region else Tone.GOOD), led
    row = row_in(value, report.region)
    if row is None:
        return Tone.UNSURE, "no row"
    if value.get(FROZEN) == "yes":
        return Tone.UNSURE, "frozen"
    said = "in" if row.effective == "in" else f"out: {row.reason}"
    return (Tone.GOOD if row.effective == "in" else Tone.BAD), f"{said}, first {value.get(ENDPOINT, '')}"


def _consumer_lane(report: Report) -> Lane:
    one = report.consumer
    assert one is not None  # noqa: S101 - its caller has looked
    starts = list(one.regions)
    ends = [*(at for at, _ in starts[1:]), report.ended_s]
    segments = [
        Segment(at, end, Tone.GOOD if region == report.region else Tone.UNSURE, region)
        for (at, region), end in zip(starts, ends, strict=True)
    ]
    segments += [Segment(gap.from_s, gap.to_s, Tone.BAD, f"{gap.length_s:.1f} s") for gap in one.gaps]
    return Lane("consumer writes through", segments)
