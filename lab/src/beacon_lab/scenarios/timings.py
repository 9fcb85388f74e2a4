"""What time depends on in a lab: its settings, at its speed, as the prediction takes them."""

from __future__ import annotations

from beacon.predict import Timings
from beacon.settings import RECHECK_MS
from beacon_lab.settings import LabSettings

__all__ = ["timings_of"]


def timings_of(settings: LabSettings) -> Timings:
    """What time depends on in a lab with these settings."""
    return Timings(
        interval_s=settings.request_interval_s / settings.speed,
        threshold=settings.failure_threshold,
        publish_every_s=settings.publish_every_s / settings.speed,
        recheck_s=RECHECK_MS / 1000,
        deadline_s=settings.probe_deadline_ms / 1000,
        fall=settings.fall,
        rise=settings.rise,
        failback_hold_s=settings.failback_hold_s / settings.speed,
    )
