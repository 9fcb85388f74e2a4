"""The figures that a formula gives: false ejections under independent loss.

An endpoint that is up leaves in a round when ``fall`` probes in a row are lost, which has probability p^fall,
and it needs ``rise`` rounds that pass, in a row, to come back. Other endpoints do not matter as long as they
are rarely out themselves: what they change is of the order of p^fall.
"""

from __future__ import annotations

__all__ = ["YEAR_S", "false_ejections_per_year", "rounds_until_back"]

YEAR_S = 365.25 * 86_400


def false_ejections_per_year(loss: float, fall: int, rise: int, round_every_s: float) -> float:
    """How often a year one healthy endpoint is ejected; ``loss`` is the probability to lose one probe."""
    rounds_in = 1 / loss**fall
    return YEAR_S / round_every_s / (rounds_in + rounds_until_back(loss, rise))


def rounds_until_back(loss: float, rise: int) -> float:
    """Rounds, on average, until ``rise`` probes in a row have passed, one a round."""
    passed = 1 - loss
    return (1 - passed**rise) / (passed**rise * loss)
