"""The document's JSON: a reader takes it whole or refuses it whole, and says why."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.examples import examples
from tests.places import ROOT

from beacon.document.form import MAX_BYTES, DocumentError, Expected, candidates, parse, serialize
from beacon.model import Document, Effective, EndpointState, Forced, Observed
from beacon.outcome import Reason

NOW = datetime(2026, 11, 22, 1, 2, 3, 456000, tzinfo=UTC)
EPOCH = int(NOW.timestamp() * 1000)
HOSTS = ("a" * 26 + ".dsql.us-east-1.on.aws", "b" * 26 + ".dsql.us-east-2.on.aws")
EXPECTED = Expected("orders-prod", "dsql", "us-east-1", frozenset(HOSTS))
GOOD = Document(
    service="orders-prod",
    target="dsql",
    observer="us-east-1",
    epoch=EPOCH,
    as_of=NOW,
    valid_until=NOW + timedelta(seconds=300),
    endpoints=(
        EndpointState("us-east-1", HOSTS[0], 5432, Observed.UP, None, Effective.IN, "ok", NOW, 1.5, 0, NOW),
        EndpointState(
            region="us-east-2",
            host=HOSTS[1],
            port=5433,
            observed=Observed.DOWN,
            forced=Forced.DRAIN,
            forced_until=NOW + timedelta(minutes=30),
            effective=Effective.OUT,
            reason="drained",
            since=NOW,
            streak=1,
        ),
    ),
    counted_at=NOW,
)

Value = dict[str, Any]
SCHEMA = json.loads((ROOT / "docs/document.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def schema_refuses(text: str) -> bool:
    """Whether ``text`` is no JSON, or none that the published schema takes."""
    try:
        return not VALIDATOR.is_valid(json.loads(text))
    except (ValueError, RecursionError):
        return True


# What a schema cannot say: what a reader also knows, what compares two members, that 1.0 is no integer.
# Also, `$` passes over a newline at the end in Python's patterns, and not in those of JavaScript.
CODE_ALONE: list[tuple[str, object]] = [
    ("schema", 1.0),
    ("service", "other-prod"),
    ("target", "mysql"),
    ("observer", "us-east-2"),
    ("epoch", float(EPOCH)),
    ("epoch", 2**63 - 1),
    ("epoch", EPOCH + 301_000),
    *[
        (name, value)
        for name in ("as_of", "valid_until", "counted_at")
        for value in ("2026-11-22T01:02:60Z", "2026-02-30T01:02:03Z", "0000-01-01T00:00:00Z")
    ],
    ("valid_until", "2026-11-22T01:02:03.456Z"),
    ("valid_until", "9999-12-31T23:59:59Z"),
    ("region", "us-east-2"),
    ("region", "eu-west-1"),
    ("region", "us-east-1\n"),
    ("host", "z" * 26 + ".dsql.us-east-1.on.aws"),
    ("host", HOSTS[1]),
    ("port", 5432.0),
    ("streak", 1.0),
]
# 1.0 equals 1: the type belongs to the key.
KNOWN_BY_CODE = [(name, value, type(value)) for name, value in CODE_ALONE]


def good() -> Value:
    value: Value = json.loads(serialize(GOOD))
    return value


def refused(text: str, *, last: Document | None = None, expected: Expected = EXPECTED) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as caught:
        parse(text, expected, NOW, last)
    assert caught.value.reasons
    assert all(caught.value.reasons)
    # Reasons go into a log: one line each, whatever was stored.
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 20_000
    return caught.value.reasons


def changed(change: Callable[[Value], object]) -> str:
    value = good()
    change(value)
    return json.dumps(value)


def with_member(name: str, value: object) -> str:
    return json.dumps(good() | {name: value})


def with_row(name: str, value: object) -> str:
    document = good()
    document["endpoints"][0][name] = value
    return json.dumps(document)


def test_what_is_written_is_read_back() -> None:
    """Every member, also those that are null."""
    assert parse(serialize(GOOD), EXPECTED, NOW) == GOOD
    frozen = replace(GOOD, frozen=True, note="all_failed")
    assert parse(serialize(frozen), EXPECTED, NOW) == frozen


def test_the_form_is_compact_and_complete() -> None:
    """The published form, member by member, in a stable order."""
    assert serialize(GOOD) == (
        '{"schema":1,"service":"orders-prod","target":"dsql","observer":"us-east-1",'
        f'"epoch":{EPOCH},"as_of":"2026-11-22T01:02:03.456Z","valid_until":"2026-11-22T01:07:03.456Z",'
        '"frozen":false,"note":"","counted_at":"2026-11-22T01:02:03.456Z","endpoints":['
        f'{{"region":"us-east-1","host":"{HOSTS[0]}","port":5432,"observed":"up","forced":null,'
        '"forced_until":null,"effective":"in","reason":"ok","since":"2026-11-22T01:02:03.456Z","latency_ms":1.5,"streak":0,'
        '"observed_since":"2026-11-22T01:02:03.456Z"},'
        f'{{"region":"us-east-2","host":"{HOSTS[1]}","port":5433,"observed":"down","forced":"drain",'
        '"forced_until":"2026-11-22T01:32:03.456Z","effective":"out","reason":"drained",'
        '"since":"2026-11-22T01:02:03.456Z","latency_ms":null,"streak":1,"observed_since":null}'
        "]}"
    )


@pytest.mark.parametrize(
    ("region", "infix"),
    [("ap-southeast-", "s" * 4), ("aa-bbbbbbb-cccccc-", "s" * 16)],
    ids=["as AWS has them", "as long as a host name may be"],
)
def test_ten_endpoints_with_the_longest_names_fit_a_parameter(region: str, infix: str) -> None:
    """4,096 bytes is what SSM holds; the longest of everything at once, all of them drained."""
    regions = [f"{region}{number}" for number in range(10, 20)]
    longest_reason = max(Reason, key=len)
    states = tuple(
        EndpointState(
            region=region,
            host=f"{'z' * 26}.dsql-{infix}.{region}.on.aws",
            port=65535,
            observed=Observed.UNKNOWN,
            forced=Forced.DRAIN,
            forced_until=NOW,
            effective=Effective.OUT if number else Effective.IN,
            reason=longest_reason,
            since=NOW,
            latency_ms=60000.0,
            streak=20,
            observed_since=NOW,
        )
        for number, region in enumerate(regions)
    )
    document = replace(
        GOOD,
        service="a" * 20 + "-" + "b" * 12,
        observer=regions[0],
        frozen=True,
        note="would_be_empty",
        endpoints=states,
    )
    text = serialize(document)
    assert len(text.encode()) <= MAX_BYTES
    expected = Expected(document.service, "dsql", regions[0])
    assert parse(text, expected, NOW) == document


def test_a_document_that_would_not_fit_is_not_written() -> None:
    """Better an error here than a parameter that SSM refuses."""
    state = GOOD.endpoints[0]
    many = tuple(replace(state, region=f"us-east-{number}") for number in range(30))
    with pytest.raises(ValueError, match="4096"):
        serialize(replace(GOOD, endpoints=many))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "{}",
        "[]",
        "1",
        '"x"',
        "true",
        "NaN",
        "{",
        serialize(GOOD)[:-1],
        serialize(GOOD) + "x",
        serialize(GOOD) * 2,
        "\ufeff" + serialize(GOOD),
        HOSTS[0],
        "[" * 4000,
        '{"a":' * 600,
        '{"schema":1' + ',"x":1' * 600 + "}",
        "1" * 4000,
        "\x00",
        "\ud800",
        "é" * 2100,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_document_is_refused(text: str) -> None:
    """Empty, cut off, doubled, with a byte-order mark, nested deeply, not an object."""
    refused(text)
    assert schema_refuses(text)


def test_more_than_4096_bytes_are_refused() -> None:
    """Counted in UTF-8, and before anything is parsed."""
    padded = serialize(GOOD) + " " * (MAX_BYTES - len(serialize(GOOD)))
    assert parse(padded, EXPECTED, NOW) == GOOD
    assert refused(padded + " ") == ("4097 bytes, and at most 4096 are allowed",)
    assert refused("é" * 2100) == ("4200 bytes, and at most 4096 are allowed",)


def test_a_member_named_twice_is_refused() -> None:
    """Readers disagree about which one counts; at any depth."""
    for once in ('"epoch":', '"port":5432,'):
        text = serialize(GOOD)
        twice = text.replace(once, f'"epoch":1,{once}' if once == '"epoch":' else once * 2, 1)
        assert refused(twice) == ("a member is named twice",)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_none_are_refused(constant: str) -> None:
    """JSON knows neither NaN nor infinity."""
    refused(serialize(GOOD).replace('"latency_ms":1.5', f'"latency_ms":{constant}'))
    refused(serialize(GOOD).replace(str(EPOCH), constant))


@pytest.mark.parametrize("name", list(good()))
def test_a_missing_or_unknown_member_is_refused(name: str) -> None:
    """The set of members is exact, at the top and in each endpoint."""
    without = changed(lambda value: value.pop(name))
    refused(without)
    assert schema_refuses(without)
    refused(with_member(name, [name]))
    assert schema_refuses(with_member(name, [name]))
    if name != "counted_at":
        refused(with_member(name, None))


@pytest.mark.parametrize("name", list(good()["endpoints"][0]))
def test_a_missing_member_of_an_endpoint_is_refused(name: str) -> None:
    """As at the top."""
    without = changed(lambda value: value["endpoints"][0].pop(name))
    refused(without)
    assert schema_refuses(without)
    refused(with_row(name, {name: 1}))
    assert schema_refuses(with_row(name, {name: 1}))


def test_unknown_members_are_counted_and_not_repeated() -> None:
    """Their names come from another writer."""
    assert schema_refuses(with_member("canary", 1))
    assert schema_refuses(with_row("canary", 1))
    assert refused(with_member("canary", 1)) == ("the document has 1 unknown member(s)",)
    assert refused(with_row("canary", 1)) == ("endpoint 1 has 1 unknown member(s)",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("schema", value) for value in (0, 2, "1", 1.0, True)],
        *[("service", value) for value in ("", "other-prod", 7, "\ud800", "x" * 1000)],
        ("target", "mysql"),
        *[("observer", value) for value in ("us-east-2", "US-EAST-1")],
        *[
            ("epoch", value)
            for value in (0, -1, str(EPOCH), float(EPOCH), 2**63, 2**63 - 1, 10**400, True, EPOCH + 301_000)
        ],
        *[
            (name, value)
            for name in ("as_of", "valid_until", "counted_at")
            for value in (
                "",
                "now",
                "2026-11-22T01:02:03.456",
                "2026-11-22T01:02:03.456+00:00",
                "2026-11-22 01:02:03Z",
                "2026-11-22T01:02:60Z",
                "2026-02-30T01:02:03Z",
                "0000-01-01T00:00:00Z",
                "٢٠٢٦-11-22T01:02:03Z",
                EPOCH,
            )
        ],
        ("valid_until", "2026-11-22T01:02:03.456Z"),
        ("valid_until", "9999-12-31T23:59:59Z"),
        *[("frozen", value) for value in (0, "false", None)],
        *[("note", value) for value in ("Hello, world", "a" * 41, "\ud800", "a\nb", 1)],
        ("endpoints", []),
        ("endpoints", {}),
        ("endpoints", [{}]),
        ("endpoints", [[]]),
        *[("endpoints", value) for value in ("x", [None], [1])],
    ],
)
def test_a_wrong_member_is_refused(name: str, value: object) -> None:
    """Each alone is enough."""
    refused(with_member(name, value))
    assert schema_refuses(with_member(name, value)) != ((name, value, type(value)) in KNOWN_BY_CODE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("region", value) for value in ("", "us-east-2", "eu-west-1", 1, "us-east-1\n")],
        *[
            ("host", value)
            for value in (
                "",
                "localhost",
                "127.0.0.1",
                "169.254.169.254",
                "::1",
                "fe80::1",
                HOSTS[0].title(),
                "db.example.com",
                HOSTS[0] + ".",
                HOSTS[0].upper(),
                "user@" + HOSTS[0],
                "https://" + HOSTS[0],
                HOSTS[0] + ":5432",
                HOSTS[0] + "/x",
                HOSTS[0] + ".evil.example",
                "evil.example/" + HOSTS[0],
                "z" * 26 + ".dsql.us-east-1.on.aws",
                "а" * 26 + ".dsql.us-east-1.on.aws",  # noqa: RUF001 - Cyrillic on purpose
                HOSTS[1],
                None,
            )
        ],
        *[("port", value) for value in (0, -1, 65536, "5432", 5432.0, True)],
        *[("observed", value) for value in ("", "UP", "in", None, ["up"])],
        *[("forced", value) for value in ("", "drained", False, ["drain"])],
        *[("forced_until", value) for value in ("", "2026-11-22T01:02:03", "2026-11-22T01:02:03Z", 0)],
        *[("effective", value) for value in ("", "up", None)],
        *[("reason", value) for value in ("", "two words", "FATAL", "a" * 41, None)],
        *[("since", value) for value in ("", "2026-11-22T01:02:03", None)],
        *[("observed_since", value) for value in ("", "2026-11-22T01:02:03", 0)],
        *[("latency_ms", value) for value in (-0.1, 60_001, "1", True, 10**400)],
        *[("streak", value) for value in (-1, 1.0, "0", 10**7)],
    ],
)
def test_a_wrong_member_of_an_endpoint_is_refused(name: str, value: object) -> None:
    """Above all a host that is not one of ours."""
    refused(with_row(name, value))
    assert schema_refuses(with_row(name, value)) != ((name, value, type(value)) in KNOWN_BY_CODE)


@pytest.mark.parametrize("value", ["", "soon", "2026-11-22T01:02:03", "2026-02-30T01:02:03Z", 0, False])
def test_an_expiry_that_is_no_instant_is_refused(value: object) -> None:
    """A reader of such a value would miss a drain."""
    text = changed(lambda document: document["endpoints"][1].update(forced_until=value))
    assert refused(text) == ("endpoint 2: forced_until is no instant in UTC",)
    assert schema_refuses(text) != (value == "2026-02-30T01:02:03Z")


def test_an_expiry_belongs_to_a_forced_state() -> None:
    """A drain may have none; what has one is drained."""
    for_ever = changed(lambda value: value["endpoints"][1].update(forced_until=None))
    assert parse(for_ever, EXPECTED, NOW).endpoints[1].forced_until is None
    assert not schema_refuses(for_ever)
    for text in (
        with_row("forced_until", "2026-11-22T01:02:03Z"),
        changed(lambda value: value["endpoints"][1].update(forced=None)),
    ):
        (reason,) = refused(text)
        assert reason.endswith(": forced_until without forced")
        assert schema_refuses(text)
    with pytest.raises(ValueError, match="forced_until"):
        replace(GOOD.endpoints[0], forced_until=NOW)
    with pytest.raises(ValueError, match="UTC"):
        replace(GOOD.endpoints[1], forced_until=NOW.replace(tzinfo=None))


def test_an_instant_of_long_ago_is_written_as_it_was_read() -> None:
    """With four digits of the year, or no reader would take the next document."""
    found = parse(with_row("since", "0026-11-22T01:02:03.000Z"), EXPECTED, NOW)
    assert parse(serialize(found), EXPECTED, NOW) == found


def test_an_endpoint_named_twice_is_refused() -> None:
    """By Region or by address."""
    refused(changed(lambda value: value["endpoints"].append(value["endpoints"][0])))
    refused(changed(lambda value: value["endpoints"].append(value["endpoints"][0] | {"port": 1})))


def test_a_document_that_leaves_no_endpoint_in_is_refused() -> None:
    """Never empty holds for what is read, too."""
    assert schema_refuses(with_row("effective", "out"))
    assert refused(with_row("effective", "out")) == ("a document leaves at least one endpoint in",)


def test_every_fault_is_reported_at_once() -> None:
    """An operator who repairs it by hand sees all of them."""
    text = changed(
        lambda value: (
            value.update(epoch=0, as_of="x", frozen=1),
            value["endpoints"][1].update(port=0, reason=""),
        )
    )
    assert refused(text) == (
        "endpoint 2: reason is no code",
        "endpoint 2: port is no whole number from 1 to 65535",
        "epoch is no whole number from 1 to 9223372036854775807",
        "as_of is no instant in UTC",
        "frozen is neither true nor false",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (with_member("valid_until", None), "valid_until is no instant in UTC"),
        (with_member("counted_at", 1), "counted_at is no instant in UTC"),
        (with_member("service", 1), "service is no string"),
        (with_member("target", None), "target is no string"),
        (with_member("endpoints", [1]), "endpoint 1 is no object"),
        (with_row("host", 1), "endpoint 1: region or host is no string"),
        (with_row("region", 1), "endpoint 1: region or host is no string"),
        (json.dumps(good()).replace("1.5", "NaN"), "NaN is no JSON number"),
        (
            changed(lambda value: value["endpoints"].append(value["endpoints"][0])),
            "an endpoint is named twice",
        ),
        (
            with_row("host", "z" * 26 + ".dsql.us-east-1.on.aws"),
            "endpoint 1 is none of the configured ones",
        ),
    ],
)
def test_a_reason_names_the_member_and_the_fault(text: str, reason: str) -> None:
    """So that an operator finds it; the endpoints are counted from 1."""
    assert reason in refused(text)


def test_an_error_says_every_reason() -> None:
    """In one line."""
    error = DocumentError(["first", "second"])
    assert (error.reasons, str(error)) == (("first", "second"), "first; second")


@pytest.mark.parametrize(("ms", "accepted"), [(0, True), (1, False)])
def test_a_document_holds_for_a_day_and_no_longer(ms: int, *, accepted: bool) -> None:
    """A stored one that never ends would keep a Region out for as long."""
    document = replace(GOOD, valid_until=NOW + timedelta(days=1, milliseconds=ms))
    if accepted:
        assert parse(serialize(document), EXPECTED, NOW) == document
    else:
        assert refused(serialize(document)) == ("valid_until is not within a day after as_of",)


def test_a_document_of_exactly_4096_bytes_is_written_and_read() -> None:
    """A parameter holds so many."""
    filler = MAX_BYTES - len(serialize(replace(GOOD, service="")))
    document = replace(GOOD, service="x" * filler)
    text = serialize(document)
    assert len(text) == MAX_BYTES
    assert parse(text, replace(EXPECTED, service=document.service), NOW) == document
    with pytest.raises(ValueError, match="4097 bytes"):
        serialize(replace(GOOD, service="x" * (filler + 1)))


def test_a_streak_of_a_million_is_read_and_a_longer_one_is_not() -> None:
    """No count of observations gets there."""
    assert parse(with_row("streak", 1_000_000), EXPECTED, NOW).endpoints[0].streak == 1_000_000
    assert refused(with_row("streak", 1_000_001)) == (
        "endpoint 1: streak is no whole number from 0 to 1000000",
    )


def test_a_latency_is_written_to_the_tenth_of_a_millisecond_and_never_as_what_json_lacks() -> None:
    """More digits would be noise in a parameter of 4 KB."""
    first = GOOD.endpoints[0]
    written = json.loads(serialize(replace(GOOD, endpoints=(replace(first, latency_ms=12.3456),))))
    assert written["endpoints"][0]["latency_ms"] == 12.3
    with pytest.raises(ValueError, match="not JSON compliant"):
        serialize(replace(GOOD, endpoints=(replace(first, latency_ms=float("nan")),)))


def test_a_reader_that_knows_no_hosts_takes_any_dsql_endpoint() -> None:
    """But still no other host."""
    anyone = replace(EXPECTED, hosts=())
    stranger = with_row("host", "z" * 26 + ".dsql.us-east-1.on.aws")
    assert parse(stranger, anyone, NOW).endpoints[0].host.startswith("z")
    refused(with_row("host", "localhost"), expected=anyone)


def test_a_lower_epoch_is_refused_and_the_same_is_not() -> None:
    """A delayed writer cannot roll a reader back; reading the same document again is no fault."""
    last = replace(GOOD, epoch=EPOCH + 1)
    assert refused(serialize(GOOD), last=last) == ("epoch is lower than that of the last document",)
    assert parse(serialize(GOOD), EXPECTED, NOW, GOOD) == GOOD


def test_an_epoch_may_be_five_minutes_ahead_of_the_clock_and_no_more() -> None:
    """Clocks differ a little; a document from the future would lock out all that follow."""
    assert parse(with_member("epoch", EPOCH + 300_000), EXPECTED, NOW).epoch == EPOCH + 300_000
    assert refused(with_member("epoch", EPOCH + 302_000)) == ("epoch is 302 s ahead of the clock",)


def test_past_its_validity_every_endpoint_is_a_candidate_again() -> None:
    """In ranked order; until then those that are in."""
    assert candidates(GOOD, NOW) == GOOD.endpoints[:1]
    assert candidates(GOOD, GOOD.valid_until) == GOOD.endpoints[:1]
    assert candidates(GOOD, GOOD.valid_until + timedelta(milliseconds=1)) == GOOD.endpoints


def test_mutated_documents_raise_document_errors_and_nothing_else() -> None:
    """Ten thousand broken documents: bytes turned, pieces cut and doubled, values swapped."""
    chance = random.Random(20261122)  # noqa: S311 - the same documents on each run
    text, taken = serialize(GOOD), 0
    values: list[object] = [
        None,
        True,
        -1,
        0,
        1.5,
        "",
        "x",
        [],
        {},
        2**64,
        "\ud800",
        "2026-11-22T01:02:03Z",
        HOSTS[1],
    ]
    for number in range(examples(10_000)):
        if number % 2:
            at, length = chance.randrange(len(text)), chance.choice((0, 1, 1, 7, 200))
            piece = chance.choice(("", chance.choice('{}[]",:0e\\\x00é'), text[at : at + length] * 2))
            mutated = text[:at] + piece + text[at + length :]
        else:
            value = good()
            place = chance.choice([value, *value["endpoints"]])
            place[chance.choice(list(place))] = chance.choice(values)
            mutated = json.dumps(value)
        try:
            found = parse(mutated, EXPECTED, NOW)
        except DocumentError:
            continue
        taken += 1
        # What is taken is a document that could have been written.
        assert {state.host for state in found.endpoints} <= set(HOSTS)
        assert parse(serialize(found), EXPECTED, NOW).epoch == found.epoch
    assert taken < 3000, "most of these are no documents"


# ---- documents as they can be


def generated(chance: random.Random) -> Document:
    """Any document that the code may write: one to ten endpoints, each member whatever it may be."""

    def instant() -> datetime:
        return NOW - timedelta(milliseconds=chance.randrange(10**10))

    def state(number: int) -> EndpointState:
        region = f"{chance.choice(('us-east', 'ap-southeast', 'us-gov-west'))}-{number}"
        infix = chance.choice(("dsql", "dsql-fnh4"))
        name = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=26))
        return EndpointState(
            region=region,
            host=f"{name}.{infix}.{region}.on.aws",
            port=chance.choice((5432, 1, 65535)),
            observed=chance.choice(list(Observed)),
            forced=(forced := chance.choice((None, Forced.DRAIN))),
            forced_until=chance.choice((None, instant())) if forced else None,
            effective=Effective.IN if number == 1 else chance.choice(list(Effective)),
            reason=chance.choice(("ok", "too_many_connections", "drained", "deferred")),
            since=instant(),
            latency_ms=chance.choice((None, 0.0, 60_000.0, round(chance.uniform(0, 500), 1))),
            streak=chance.choice((0, 1, 20, 10**6)),
            observed_since=chance.choice((None, instant())),
        )

    states = [state(number) for number in range(1, chance.randint(2, 11))]
    chance.shuffle(states)
    as_of = instant()
    return Document(
        service=chance.choice(("orders-prod", "a-b", "a" * 20 + "-" + "b" * 12)),
        target="dsql",
        observer=states[0].region,
        epoch=chance.choice((1, EPOCH, EPOCH + 299_000)),
        as_of=as_of,
        valid_until=as_of + timedelta(seconds=chance.choice((1, 300, 86_400))),
        endpoints=tuple(states),
        frozen=(note := chance.choice(("", "all_failed", "would_be_empty"))) != "",
        note=note,
        counted_at=chance.choice((None, instant())),
    )


def test_ten_thousand_documents_are_read_back_as_they_were() -> None:
    """Each fits a parameter, and is taken by its readers; every fiftieth is held against the schema, too."""
    chance = random.Random(4)  # noqa: S311 - the same documents on each run
    longest = 0
    for number in range(examples(10_000)):
        document = generated(chance)
        text = serialize(document)
        longest = max(longest, len(text.encode()))
        hosts = frozenset(state.host for state in document.endpoints)
        expected = Expected(document.service, document.target, document.observer, hosts)
        assert parse(text, expected, NOW) == document
        if number % 50 == 0:
            VALIDATOR.validate(json.loads(text))
    assert 3000 < longest <= MAX_BYTES


def test_the_schema_names_the_members_that_the_code_writes() -> None:
    """In the same order, all of them required."""
    endpoint = SCHEMA["$defs"]["endpoint"]
    assert SCHEMA["required"] == list(SCHEMA["properties"]) == list(good())
    assert endpoint["required"] == list(endpoint["properties"]) == list(good()["endpoints"][0])
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
