"""The result of a run of `sam deploy`, by its exit code and by the stack before and after.

=========  ============  ==================  ============================================  =========
exit code  stack         change set waiting  what happened                                 our code
=========  ============  ==================  ============================================  =========
0          changed       either              deployed                                      see below
0          unchanged     none that is new    there was nothing to change                   see below
any        unchanged     a new one           not executed: a no at the prompt, most likely  4
not 0      unchanged     none that is new    `sam deploy` ended before it changed anything  1
not 0      changed       either              the deployment failed                         1
=========  ============  ==================  ============================================  =========

`sam deploy` ends with 0 after a no at the prompt. If the stack cannot be read afterwards, the exit code
alone decides. After a deployment, the checkers decide whether the Region serves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scripts.aws_account import AccountError
from scripts.stack import Stored

__all__ = ["DeploymentResult", "result_of"]


class Stacks(Protocol):
    """A source from which the stack is read again."""

    def stack(self) -> Stored | None:
        """The stack; raises :class:`AccountError`."""


@dataclass(frozen=True, slots=True)
class DeploymentResult:
    """What happened: whether the stack changed, a sentence, and the exit code if this ends the command."""

    changed: bool
    sentence: str
    exit_code: int | None = None


def result_of(code: int, before: Stored | None, stacks: Stacks) -> DeploymentResult:
    """The module's table, for `sam deploy` that ended with ``code``."""
    try:
        after = stacks.stack()
    except AccountError as error:
        if code:
            return _failed(f"`sam deploy` ended with {code}")
        return DeploymentResult(changed=True, sentence=f"the stack cannot be read again: {error}")
    if _executed(before, after):
        status = after.status if after else "gone"
        return (
            _failed(f"`sam deploy` failed with {code} and the stack is {status}")
            if code
            else DeploymentResult(True, "")
        )
    return _unchanged(
        code, (after.waiting if after else frozenset()) - (before.waiting if before else frozenset())
    )


def _failed(what: str) -> DeploymentResult:
    said = f"{what}: leave the other Regions as they are until this one is repaired"
    return DeploymentResult(changed=True, sentence=said, exit_code=1)


def _unchanged(code: int, new: frozenset[str]) -> DeploymentResult:
    if new:
        names = ", ".join(sorted(new))
        said = f"nothing was deployed: the change set {names} was not executed. Start again when ready"
        return DeploymentResult(changed=False, sentence=said, exit_code=4)
    if code:
        said = f"`sam deploy` ended with {code} before it changed the stack; what it printed says why"
        return DeploymentResult(changed=False, sentence=said, exit_code=1)
    return DeploymentResult(changed=False, sentence="`sam deploy` found nothing to change")


def _executed(before: Stored | None, after: Stored | None) -> bool:
    """Whether a change set was executed between the two."""
    if after is None:
        return before is not None
    if not after.exists:
        return False
    return before is None or not before.exists or after.updated_at != before.updated_at
