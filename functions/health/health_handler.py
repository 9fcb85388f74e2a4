"""Lambda entry point of the health endpoint that Route 53 polls."""

from beacon.health.check import HealthCheck

_check = HealthCheck()


def handler(event: object, _context: object) -> dict[str, object]:
    """Answer one request of API Gateway."""
    return _check.answer(event)
