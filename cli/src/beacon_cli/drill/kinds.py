"""What a drill may break, what has to be seen of it, and by which cause. Pure.

====================  ==============================  ============================  ======================
``--by``              the documents say               the checkers say              the net under it
====================  ==============================  ============================  ======================
``drain``             forced: drain; observed up      HTTP 503                      the drain's own end
``fis``               observed down; any failure      HTTP 503                      the experiment's duration
``lab:dsql-freeze``   observed down: timeout          HTTP 503; 500 for what is     the lab ends the fault
                                                      above Lambda's concurrency
``lab:dsql-silent``   the same                        the same                      the same
``lab:dsql-refuse``   observed down: refused, reset   HTTP 503                      the same
``lab:dsql-reset``    observed down: reset, refused   HTTP 503                      the same
``lab:dsql-deny``     observed down: login_rejected,  HTTP 503                      the same
                      unavailable, reset
``lab:dsql-login``    observed down: server_error,    HTTP 503                      the same
                      login_rejected, unavailable
``lab:gateway-down``  nothing: only DNS moves         it cannot be reached          the same
====================  ==============================  ============================  ======================

The lab's other faults take no Region out as a whole, so there is nothing to measure.
"""

from __future__ import annotations

from dataclasses import dataclass

from beacon.outcome import ProbeOutcome, Reason, outcome_of
from beacon_cli.errors import not_among

__all__ = ["DRAIN", "FIS", "KINDS", "LAB", "Kind", "kind_of"]

DRAIN, FIS, LAB = "drain", "fis", "lab"


@dataclass(frozen=True, slots=True)
class Kind:
    """One row of the module's table."""

    name: str
    reasons: frozenset[str]
    """The reason codes that a document may give; none where SSM stays as it is."""
    says: tuple[str, ...]
    """What the checkers' failures may begin with."""
    at_once: bool = False
    """Whether a probe fails at once, and does not wait for its deadline."""
    logins_only: bool = False
    """Whether only new logins fail, which a probe tries every 30 to 45 s."""

    @property
    def how(self) -> str:
        """``drain``, ``fis`` or ``lab``."""
        return self.name.partition(":")[0]

    @property
    def fault(self) -> str:
        """The lab's name of the fault; empty for the others."""
        return self.name.partition(":")[2]

    @property
    def drains(self) -> bool:
        """Whether an operator's intent takes the Region out."""
        return self.how == DRAIN

    @property
    def moves_ssm(self) -> bool:
        """Whether the documents follow as well."""
        return bool(self.reasons)


_503 = "Failure: HTTP Status Code 503"
_500 = "Failure: HTTP Status Code 500"
_UNREACHED = (
    "Failure: The endpoint refused",
    "Failure: The endpoint closed",
    "Failure: The endpoint could not",
    "Failure: The health checker could not",
)
_ANY = frozenset(str(reason) for reason in Reason if outcome_of(reason) is ProbeOutcome.FAIL)


def _codes(*reasons: Reason) -> frozenset[str]:
    return frozenset(str(reason) for reason in reasons)


_LOGIN = _codes(Reason.SERVER_ERROR, Reason.LOGIN_REJECTED, Reason.UNAVAILABLE)
#: The module's table, by the name that ``--by`` takes.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(DRAIN, _codes(Reason.DRAINED), (_503,), at_once=True),
        Kind(FIS, _ANY, (_503,), at_once=True, logins_only=True),
        Kind("lab:dsql-freeze", _codes(Reason.TIMEOUT), (_503, _500)),
        Kind("lab:dsql-silent", _codes(Reason.TIMEOUT), (_503, _500)),
        Kind("lab:dsql-refuse", _codes(Reason.REFUSED, Reason.RESET), (_503,), at_once=True),
        Kind("lab:dsql-reset", _codes(Reason.REFUSED, Reason.RESET), (_503,), at_once=True),
        Kind(
            "lab:dsql-deny",
            _codes(Reason.LOGIN_REJECTED, Reason.UNAVAILABLE, Reason.RESET),
            (_503,),
            at_once=True,
        ),
        Kind("lab:dsql-login", _LOGIN, (_503,), at_once=True, logins_only=True),
        Kind("lab:gateway-down", frozenset(), _UNREACHED, at_once=True),
    )
}


def kind_of(text: str) -> Kind:
    """The kind that ``--by`` names; raises :class:`~beacon_cli.errors.WrongUseError` with the known ones."""
    if text not in KINDS:
        raise not_among("way to break a Region", text, KINDS, "beacon drill")
    return KINDS[text]
