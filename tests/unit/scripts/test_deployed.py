"""The result of a run of `sam deploy`: each row of the module's table."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from scripts.aws_account import AccountError, sentence
from scripts.deployed import result_of
from scripts.stack import Stored

EARLIER, LATER = (datetime(2026, 11, 24, hour, tzinfo=UTC) for hour in (10, 11))
STACK = Stored("123456789012", "UPDATE_COMPLETE", EARLIER, {}, frozenset({"an-old-one"}))
CHANGED = replace(STACK, updated_at=LATER)
ROLLED_BACK = replace(CHANGED, status="UPDATE_ROLLBACK_COMPLETE")
DECLINED = replace(STACK, waiting=STACK.waiting | {"samcli-deploy1"})
REVIEW = replace(DECLINED, status="REVIEW_IN_PROGRESS")


@dataclass
class Stacks:
    """The stack as it is read again."""

    after: Stored | AccountError | None

    def stack(self) -> Stored | None:
        if isinstance(self.after, AccountError):
            raise self.after
        return self.after


@pytest.mark.parametrize(
    ("code", "before", "after", "expected", "said"),
    [
        (0, STACK, CHANGED, (None, True), ""),
        (0, None, STACK, (None, True), ""),
        (0, REVIEW, STACK, (None, True), ""),
        (0, STACK, STACK, (None, False), "found nothing to change"),
        (0, STACK, DECLINED, (4, False), "the change set samcli-deploy1 was not executed"),
        (1, STACK, DECLINED, (4, False), "nothing was deployed"),
        (0, None, REVIEW, (4, False), "was not executed"),
        (0, REVIEW, REVIEW, (None, False), "found nothing to change"),
        (1, STACK, STACK, (1, False), "before it changed the stack"),
        (1, None, None, (1, False), "before it changed the stack"),
        (1, STACK, ROLLED_BACK, (1, True), "the stack is UPDATE_ROLLBACK_COMPLETE: leave the other Regions"),
        (1, STACK, None, (1, True), "the stack is gone"),
        (1, STACK, AccountError("denied"), (1, True), "leave the other Regions"),
        (0, STACK, AccountError("denied"), (None, True), "cannot be read again: denied"),
    ],
)
def test_exit_code_and_stack_together_say_what_happened(
    code: int,
    before: Stored | None,
    after: Stored | AccountError | None,
    expected: tuple[int | None, bool],
    said: str,
) -> None:
    """A no at the prompt, a failure and a rollback are distinguished."""
    outcome = result_of(code, before, Stacks(after))
    assert (outcome.exit_code, outcome.changed) == expected
    assert said in outcome.sentence


def test_an_error_comes_with_its_sentence_and_without_the_token() -> None:
    """The code alone says too little; a request that is repeated must not show the path."""
    error = ClientError(
        {"Error": {"Code": "AccessDenied", "Message": "no route53:ListHealthChecks on /live/s3cret/health"}},
        "ListHealthChecks",
    )
    assert sentence(error) == "AccessDenied: no route53:ListHealthChecks on /live/***/health"
    assert "Unable to locate credentials" in sentence(NoCredentialsError())
