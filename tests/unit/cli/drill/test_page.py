"""The HTML page: whole, escaped, loading nothing, with predictions behind measurements."""

import re
from dataclasses import replace

import pytest
from tests.unit.cli.drill.drills import REPORTS, evil, report, tree

from beacon_cli.drill.junit import junit_of
from beacon_cli.drill.page import html_of, picture_of

HTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"


def test_every_text_is_escaped() -> None:
    """The page and JUnit stay well-formed, and no element comes from a text."""
    page = tree(html_of(evil()))
    assert not list(page.iter(f"{HTML}script"))
    assert "\x00" not in html_of(evil())
    assert "alert(" in "".join(page.itertext())
    assert len(tree(junit_of(evil()))[0]) == 5


@pytest.mark.parametrize("name", REPORTS)
def test_the_page_is_whole_and_loads_nothing(name: str) -> None:
    """No address, no script, no style from elsewhere."""
    text = html_of(REPORTS[name])
    page = tree(text)
    assert not {one.tag for one in page.iter()} & {
        f"{HTML}{tag}" for tag in ("script", "link", "img", "iframe")
    }
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", text))
    assert addresses == {"http://www.w3.org/1999/xhtml", "http://www.w3.org/2000/svg"}
    assert "@media print" in text
    assert len(list(page.iter(f"{SVG}svg"))) == 1


def test_the_picture_has_predictions_behind_measurements() -> None:
    """Bands and marks stand where the axis has their seconds."""
    picture = tree(picture_of(report()))
    titles = ["".join(one.itertext()) for one in picture.iter(f"{SVG}title")]
    assert "predicted 20.0 to 37.2 s" in titles
    order = [one for one in picture.iter() if one.tag in {f"{SVG}rect", f"{SVG}line"}]
    bands = [one for one in order if one.get("stroke-dasharray")]
    marks = [one for one in order if one.get("stroke-width") == "2.4"]
    assert len(bands) == len(marks) == 8
    for band in bands:
        top = float(band.get("y", ""))
        own = [mark for mark in marks if 0 <= float(mark.get("y1", "")) - top < 10]
        assert own
        left, width = float(band.get("x", "")), float(band.get("width", ""))
        assert any(left - 1 <= float(mark.get("x1", "")) <= left + width + 1 for mark in own)
        assert all(order.index(band) < order.index(mark) for mark in own)


def test_one_moment_and_no_time_make_a_picture() -> None:
    """A drill that was interrupted at once."""
    made = replace(report(), ended_s=0.0, tracks=(), results=(), consumer=None, no_consumer="x")
    assert tree(html_of(made)) is not None
