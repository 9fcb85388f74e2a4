"""The drawing itself, which knows nothing of drills."""

from tests.unit.cli.drill.drills import tree

from beacon_cli.drill.picture import Band, Lane, Mark, Moment, Segment, Tone, draw

SVG = "{http://www.w3.org/2000/svg}"


def test_the_drawing_knows_nothing_of_drills() -> None:
    """Any lanes over any seconds; what lies outside is left out or ends at the frame."""
    lane = Lane(
        "a lane",
        [Segment(-100, 5, Tone.GOOD, "in"), Segment(5, 900, Tone.BAD, "out"), Segment(950, 990, Tone.UNREAD)],
        [Band(3, 2000, 10)],
        [Mark(5, "5 s"), Mark(899, "899 s", good=False)],
    )
    picture = tree(draw("any", [lane, Lane("empty", [])], [Moment(0, "begin")], from_s=0, to_s=900))
    _, _, width, height = (float(one) for one in picture.get("viewBox", "").split())
    for one in picture.iter(f"{SVG}rect"):
        if one.get("x"):
            right = float(one.get("x", "")) + float(one.get("width", ""))
            assert 0 <= float(one.get("x", "")) <= right <= width
            assert float(one.get("y", "")) < height
    texts = ["".join(one.itertext()) for one in picture.iter(f"{SVG}text")]
    assert {"a lane", "empty", "begin", "5 s", "899 s", "840"} <= set(texts)
    assert tree(draw("none", [], [], from_s=0, to_s=0)) is not None
