"""Throttling as API Gateway and DSQL do it: a bucket of ``burst`` tokens that fills at ``rate_per_s``."""

__all__ = ["TokenBucket"]


class TokenBucket:
    """Each request takes a token; one that finds none is throttled. Time is the caller's, in seconds."""

    def __init__(self, *, rate_per_s: float, burst: int) -> None:
        """Start full. A rate and burst of 0 let nothing through."""
        if rate_per_s < 0 or burst < 0:
            raise ValueError(f"rate {rate_per_s} and burst {burst} must not be negative")
        self._rate_per_s = rate_per_s
        self._burst = float(burst)
        self._tokens = float(burst)
        self._filled_at_s: float | None = None

    def take(self, now_s: float) -> bool:
        """Whether a request at this time may pass; time that runs backwards fills nothing."""
        if self._filled_at_s is not None:
            passed_s = max(0.0, now_s - self._filled_at_s)
            self._tokens = min(self._burst, self._tokens + passed_s * self._rate_per_s)
        self._filled_at_s = now_s if self._filled_at_s is None else max(now_s, self._filled_at_s)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
