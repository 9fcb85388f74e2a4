"""What a situation means in words: where clients go, why a Region is in or out, and what to do."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.cli.situations import (
    FAR,
    NEAR,
    NOW,
    ago,
    answer,
    check,
    down,
    drained,
    forced,
    frozen_region,
    published,
    situation,
    state,
)

from beacon_cli.situation.finding import Finding, Level, clock, joined, span
from beacon_cli.situation.history import last_changes
from beacon_cli.situation.model import (
    Alarm,
    Canary,
    ForcedChange,
    Known,
    RecordAnswer,
    Situation,
    StackView,
    Unknown,
)
from beacon_cli.situation.sentences import explain

THROTTLED = Unknown("Route 53 rejects requests as too many (throttled): look again in a moment")


def found(situation: Situation, part: str, region: str | None = None) -> Finding:
    """The one finding whose text holds ``part``."""
    explanation = explain(situation, region)
    fitting = [one for one in explanation.findings if part in one.text]
    assert len(fitting) == 1, [one.text for one in explanation.findings]
    return fitting[0]


OUT_NEAR = {"check": check(NEAR, passed=0)}
OUT_FAR = {"check": check(FAR, passed=0)}
NO_NEAR, NO_FAR = {"check": THROTTLED}, {"check": THROTTLED}


@pytest.mark.parametrize(
    ("given", "level", "text"),
    [
        (situation(), Level.DETAIL, "Every Region is healthy. DNS sends clients to us-east-1."),
        (
            situation(OUT_NEAR, authoritative=answer(FAR)),
            Level.INFO,
            "us-east-1 is out of DNS, and us-east-2 serves. DNS sends clients to us-east-2.",
        ),
        (
            situation(OUT_NEAR),
            Level.BAD,
            (
                "Clients are still sent to us-east-1, which is out. Route 53 sends them to us-east-2 with one"
                " of its next answers; resolvers keep the old one for up to 10 s."
            ),
        ),
        (
            situation(OUT_NEAR, OUT_FAR),
            Level.BAD,
            "No Region is healthy: Route 53 answers as if all were. DNS sends clients to us-east-1.",
        ),
        (
            situation(OUT_NEAR, NO_FAR),
            Level.WARN,
            (
                "us-east-1 is out of DNS, and nothing is known of the other Regions."
                " DNS sends clients to us-east-1."
            ),
        ),
        (
            situation(NO_NEAR, NO_FAR),
            Level.UNKNOWN,
            "Which Regions serve is not known. DNS sends clients to us-east-1.",
        ),
        (
            situation(far=NO_FAR),
            Level.UNKNOWN,
            "us-east-1 is healthy. Whether us-east-2 serves is not known. DNS sends clients to us-east-1.",
        ),
        (
            situation(authoritative=Unknown("silent")),
            Level.DETAIL,
            "Every Region is healthy. Where DNS sends clients is not known.",
        ),
        (
            situation(authoritative=None),
            Level.DETAIL,
            "Every Region is healthy. There is no record yet, so no client comes by DNS.",
        ),
    ],
)
def test_the_headline_says_where_clients_go(given: Situation, level: Level, text: str) -> None:
    """Each row of the table in beacon_cli.situation.routes."""
    assert explain(given).headline == Finding(level, text)


def test_on_a_good_day_nothing_asks_for_an_operator() -> None:
    """Only what the table shows anyway."""
    explanation = explain(situation())
    assert not explanation.needs_operator
    assert {one.level for one in explanation.findings} == {Level.DETAIL}
    assert "SSM of us-east-1 and us-east-2 sends readers to us-east-1." in {
        one.text for one in explanation.findings
    }


def test_a_frozen_region_is_explained_from_its_cause_to_its_return() -> None:
    """The page at 3 am: cause, who is affected, what to do, and when it is over."""
    given = frozen_region()
    explanation = explain(given)
    assert explanation.needs_operator
    assert explanation.headline.text.endswith("us-east-2 serves. DNS sends clients to us-east-2.")
    assert found(given, "is out of DNS").text == (
        "us-east-1 is out of DNS: 0 of 6 checkers find it healthy; most say: HTTP Status Code 503, Service"
        " Unavailable."
    )
    assert found(given, "observes us-east-1 down").text == (
        "The publisher of us-east-1 and us-east-2 observes us-east-1 down since 02:57:00 UTC (3 min):"
        " timeout."
    )
    assert found(given, "silent or too slow").command.startswith("aws logs tail /aws/lambda/shop-test-health")
    back = found(given, "After the repair").text
    assert "is back in DNS in 20 s to" in back
    assert "and the TTL of 10 s" in back


def test_a_drain_says_by_whom_why_and_until_when() -> None:
    """And how to end it."""
    rows = (state(FAR), drained(NEAR))
    given = situation(
        near={**OUT_NEAR, "document": published(NEAR, *rows)},
        far={"document": published(FAR, *rows)},
        authoritative=answer(FAR),
        forced=forced(NEAR, until=NOW + timedelta(minutes=27)),
        where="--lab",
    )
    one = found(given, "alice has drained")
    assert one.text == (
        "alice has drained us-east-1 since 02:56:00 UTC, until 03:27:00 UTC (27 min left): 'writes fail'."
        " It looks repaired: release it."
    )
    assert one.command == "beacon release us-east-1 --reason repaired --lab"
    assert found(given, "After the release").level is Level.INFO


def test_a_drain_that_a_document_does_not_show_yet_is_reported() -> None:
    """Its next tick does."""
    given = situation(near=OUT_NEAR, authoritative=answer(FAR), forced=forced(NEAR))
    assert "until it is released: 'writes fail'" in found(given, "alice has drained").text
    assert found(given, "does not show the drain yet").text.startswith(
        "The document of us-east-1 and us-east-2 does"
    )


def test_a_drain_that_has_ended_is_still_in_a_document_for_a_tick() -> None:
    """The other way round."""
    given = situation(far={"document": published(FAR, state(FAR), drained(NEAR))})
    assert found(given, "The drain of us-east-1 has ended").level is Level.INFO


def test_without_the_database_the_documents_still_show_a_drain() -> None:
    """By whom is then not known."""
    rows = (state(FAR), drained(NEAR, forced_until=NOW + timedelta(minutes=5)))
    given = situation(
        near={"document": published(NEAR, *rows)},
        far={"document": published(FAR, *rows)},
        forced=Unknown("gone"),
    )
    assert found(given, "by whom is not known").text == (
        "us-east-1 is drained until 03:05:00 UTC, by the document of us-east-1 and us-east-2; by whom is not"
        " known. It looks repaired: release it."
    )


def test_the_only_region_that_works_is_drained() -> None:
    """The worst that a drain can do."""
    given = situation(
        near=OUT_NEAR,
        far={**OUT_FAR, "document": published(FAR, state(NEAR), down(FAR))},
        forced=forced(NEAR),
    )
    one = found(given, "alice has drained")
    assert one.level is Level.BAD
    assert one.text.endswith("It works, and no other Region does: release it.")


@pytest.mark.parametrize(
    ("near", "level", "says", "command"),
    [
        (
            check(NEAR, disabled=True),
            Level.BAD,
            "is disabled: Route 53 counts it as healthy in any case",
            "aws route53 update-health-check --health-check-id id-us-east-1 --no-disabled",
        ),
        (
            check(NEAR, inverted=True),
            Level.WARN,
            "out of DNS by break glass: its health check is inverted",
            "beacon break-glass restore us-east-1",
        ),
        (
            check(NEAR, passed=0, inverted=True),
            Level.BAD,
            "is inverted while us-east-1 fails",
            "beacon break-glass restore us-east-1",
        ),
        (
            check(NEAR, passed=4),
            Level.WARN,
            "is in DNS, and only 4 of 6 checkers",
            "beacon drain us-east-1 --for 60m --reason 'checkers disagree'",
        ),
        (
            check(NEAR, disabled=True, inverted=True),
            Level.WARN,
            "is disabled and inverted: Route 53 counts it as unhealthy",
            "aws route53 update-health-check --health-check-id id-us-east-1 --no-disabled --no-inverted",
        ),
        (
            check(NEAR, passed=2, fresh=2, inverted=True),
            Level.WARN,
            "is inverted, and only 2 of 6 checkers have reported lately",
            "beacon break-glass restore us-east-1",
        ),
        (check(NEAR, passed=2, fresh=2), Level.WARN, "only 2 of 6 checkers have reported lately", ""),
    ],
)
def test_a_check_that_guards_nothing_is_reported(near: object, level: Level, says: str, command: str) -> None:
    """Disabled, inverted, torn, silent."""
    one = found(situation(near={"check": near}), says)
    assert (one.level, one.command) == (level, command)


@pytest.mark.parametrize(
    ("near", "says"),
    [
        (check(NEAR, inverted=True), "back in DNS after its health check is no longer inverted"),
        (check(NEAR, passed=0, inverted=True), "A repair takes us-east-1 out of DNS until"),
        (check(NEAR, disabled=True), "DNS keeps us-east-1 in until its health check is enabled"),
        (
            check(NEAR, disabled=True, inverted=True),
            "after its health check is enabled and no longer inverted",
        ),
    ],
)
def test_no_return_is_predicted_where_a_check_does_not_follow_the_checkers(near: object, says: str) -> None:
    """Only the operator brings the Region back; a repair does not, nor a release."""
    rows = (state(FAR), down(NEAR))
    given = situation({"check": near, "document": published(NEAR, *rows)})
    assert found(given, says).level is Level.INFO
    assert not any("After the" in one.text for one in explain(given).findings)


def test_publishers_that_disagree_point_at_the_path_between_regions() -> None:
    """Each sees the other Region only."""
    given = situation(far={"document": published(FAR, state(FAR), down(NEAR))})
    text = found(given, "observes us-east-1 down").text
    assert text.endswith("That of us-east-1 observes it up: the path between Regions may be broken.")


def test_a_document_that_is_old_or_frozen_is_reported_with_the_log_to_read() -> None:
    """A publisher that is dead, or that doubts itself."""
    old = situation(near={"document": published(NEAR, as_of=ago(400), valid_until=ago(100))})
    one = found(old, "past its end")
    assert one.text.startswith("The document in SSM of us-east-1 is 7 min old")
    assert one.command == "aws logs tail /aws/lambda/shop-test-publisher --region us-east-1 --since 15m"
    doubts = situation(far={"document": published(FAR, frozen=True, note="all_failed")})
    assert (
        "every endpoint failed for it in one round" in found(doubts, "The publisher of us-east-2 keeps").text
    )


def test_alarms_stack_and_canary_have_their_sentences() -> None:
    """Each only where there is something to say."""
    given = situation(
        near={
            "alarms": Known((Alarm("shop-test-probes-fail", "ALARM", ago(60)), Alarm("x", "OK", None))),
            "stack": Known(StackView("shop-test", "UPDATE_ROLLBACK_COMPLETE", ago(60), "")),
            "canary": Known(Canary(3, 15)),
        },
        far={"canary": Known(Canary(0, 15))},
    )
    assert found(given, "Alarm").text == (
        "Alarm shop-test-probes-fail since 02:59:00 UTC: probes failed in five of ten minutes."
        " Drain it if clients fail. A drain started now ends by itself at 04:00:00 UTC (60 min)."
    )
    assert found(given, "UPDATE_ROLLBACK_COMPLETE").command.endswith("--stack-name shop-test")
    assert found(given, "write canary").text.startswith("3 commits of the write canary failed in us-east-1")


def test_versions_are_compared_where_a_tag_names_them() -> None:
    """A layer's own version counts in each Region for itself."""
    stack = StackView("shop-test", "CREATE_COMPLETE", ago(60), "1.2")
    given = situation(near={"stack": Known(stack)}, far={"stack": Known(replace(stack, version="1.3"))})
    assert "us-east-1: 1.2; us-east-2: 1.3" in found(given, "different versions").text
    layers = situation(far={"stack": Known(replace(stack, version="layer 9"))})
    assert not any("versions" in one.text for one in explain(layers).findings)


def test_the_record_leads_elsewhere() -> None:
    """To a name that is no Region's; and a resolver that is behind."""
    strange = situation(authoritative=Known(RecordAnswer("old.example.org", "", 60, "")), cached=None)
    assert found(strange, "leads to old.example.org").command == "dig db.shop.test"
    alias = situation(authoritative=Known(RecordAnswer("192.0.2.7", "", 60, "")), cached=None)
    assert found(alias, "is an alias").level is Level.INFO
    assert explain(alias).headline.text.endswith("DNS sends clients to 192.0.2.7.")
    behind = situation(OUT_NEAR, authoritative=answer(FAR), cached=answer(NEAR, 7))
    assert "still answers us-east-1, for another 7 s" in found(behind, "resolver").text


def address(*shown: str, region: str = "") -> Known[RecordAnswer]:
    return Known(RecordAnswer(shown[0], region, 7, "", frozenset(shown)))


@pytest.mark.parametrize(
    ("own", "cached", "behind"),
    [
        (address("192.0.2.1", region=NEAR), address("192.0.2.2", region=NEAR), False),
        (address("192.0.2.1", region=NEAR), address("192.0.2.2", region=FAR), True),
        (address("192.0.2.1", "192.0.2.2"), address("192.0.2.2", "192.0.2.1"), False),
        (address("192.0.2.1", "192.0.2.2"), address("192.0.2.2", "192.0.2.3"), False),
        (address("192.0.2.1", "192.0.2.2"), address("192.0.2.8", "192.0.2.9"), True),
        (address("192.0.2.1", region=NEAR), address("192.0.2.2"), False),
        (answer(NEAR), address("192.0.2.2", region=NEAR), False),
        (answer(NEAR), Known(RecordAnswer("old.example.org", "", 60, "")), True),
    ],
)
def test_a_resolver_is_behind_only_where_it_leads_elsewhere(
    own: Known[RecordAnswer], cached: Known[RecordAnswer], behind: bool
) -> None:
    """The answers of an alias rotate its addresses."""
    texts = [one.text for one in explain(situation(authoritative=own, cached=cached)).findings]
    assert any("resolver still answers" in text for text in texts) is behind


def test_each_fact_that_is_not_known_is_one_sentence_told_once() -> None:
    """Route 53 concerns both Regions, and is named once."""
    given = situation(
        NO_NEAR, NO_FAR, forced=Unknown("no Region lets in"), authoritative=Unknown("no answer")
    )
    unknown = [one.text for one in explain(given).findings if one.level is Level.UNKNOWN]
    assert unknown == [
        "Not known: no answer.",
        "Not known: no Region lets in.",
        f"Not known: {THROTTLED.why}.",
    ]


def test_one_region_alone_is_explained() -> None:
    """What concerns the other is left out."""
    texts = [one.text for one in explain(frozen_region(), FAR).findings]
    assert any(text.startswith("us-east-2 is in DNS") for text in texts)
    assert not any("us-east-1 is out of DNS" in text for text in texts)
    with pytest.raises(KeyError):
        explain(situation(), "eu-west-1")


def test_the_last_changes_are_shown_the_newest_first() -> None:
    """Each with its actor, its duration and its reason."""
    rows = (
        ForcedChange(ago(60), FAR, "", "repaired", "bob", None),
        ForcedChange(ago(90000), NEAR, "drain", "writes fail", "alice", ago(90000 - 1800)),
    )
    given = situation(forced=forced(changes=rows))
    assert last_changes(given) == [
        "02:59:00 UTC  bob released us-east-2: repaired",
        "2026-11-24 02:00 UTC  alice drained us-east-1 for 30 min: writes fail",
    ]
    assert last_changes(given, NEAR, most=1) == last_changes(given)[1:]
    assert last_changes(situation(forced=Unknown("gone"))) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (2e5, "2 days"),
    ],
)
def test_a_duration_is_written_in_one_or_two_words(seconds: float, text: str) -> None:
    """Seconds, minutes, hours, days."""
    assert span(seconds) == text


def test_names_are_joined_as_in_a_sentence() -> None:
    """And an instant of another day has its date."""
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert clock(ago(3 * 3600 + 1), NOW) == "2026-11-24 23:59 UTC"
