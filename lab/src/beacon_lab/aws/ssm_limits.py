"""The limits of Parameter Store that the simulator lacks: a value's size, and PutParameter's rate."""

from __future__ import annotations

import json

from beacon_lab.aws.errors import ApiError
from beacon_lab.network.token_bucket import TokenBucket

STANDARD_BYTES = 4096
ADVANCED_BYTES = 8192
DEFAULT_PUTS_PER_S = 3.0
_SIZE_OF_TIER = {
    "Standard": STANDARD_BYTES,
    "Advanced": ADVANCED_BYTES,
    "Intelligent-Tiering": ADVANCED_BYTES,
}


class PutRate:
    """PutParameter's rate, a token bucket per Region as deep as one second's worth of calls."""

    def __init__(self, per_s: float = DEFAULT_PUTS_PER_S) -> None:
        self._per_s = per_s
        self._buckets: dict[str, TokenBucket] = {}

    def take(self, region: str, now_s: float) -> None:
        """Count one call at the monotonic time ``now_s``. Raises ``ApiError`` above the rate."""
        if region not in self._buckets:
            self._buckets[region] = TokenBucket(rate_per_s=self._per_s, burst=max(1, int(self._per_s)))
        if not self._buckets[region].take(now_s):
            raise ApiError(400, "ThrottlingException", "Rate exceeded")


def check_value(body: bytes) -> None:
    """Raises ApiError ValidationException when a PutParameter request's value is too long for its tier."""
    try:
        request = json.loads(body)
    except ValueError:
        return  # the simulator says what is wrong with it
    if not isinstance(request, dict):
        return
    value, tier = request.get("Value"), request.get("Tier") or "Standard"
    limit = _SIZE_OF_TIER.get(tier) if isinstance(tier, str) else None
    if isinstance(value, str) and limit is not None and len(value.encode(errors="replace")) > limit:
        article = "Standard" if limit == STANDARD_BYTES else "Advanced"
        raise ApiError(
            400,
            "ValidationException",
            f"{article} tier parameters support a maximum parameter value of {limit} characters.",
        )
