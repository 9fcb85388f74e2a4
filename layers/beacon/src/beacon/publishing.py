"""Put a Region's publisher together from its settings."""

from __future__ import annotations

from beacon.decide import Subject
from beacon.observe import Observer, Pace
from beacon.probe import PROBES, ProbeContext
from beacon.publisher import Publisher
from beacon.resolver import Resolver
from beacon.settings import Settings
from beacon.store import ParameterStore

__all__ = ["make_publisher"]

#: A document stays valid for this many of the publisher's periods, and never for less than five minutes.
_VALID_PERIODS = 5
_VALID_AT_LEAST_S = 300


def make_publisher(settings: Settings) -> Publisher:
    """Return the publisher that ``settings`` describe; contacts nothing yet."""
    context = ProbeContext(settings, Resolver())
    probes = {
        endpoint.region: PROBES[settings.target](endpoint, context, None) for endpoint in settings.endpoints
    }
    pace = Pace(settings.probe_deadline_s, settings.recheck_s, settings.policy.fall)
    subject = Subject(
        service=settings.service,
        target=settings.target,
        observer=settings.region,
        endpoints=settings.endpoints,
        valid_for_s=max(_VALID_AT_LEAST_S, _VALID_PERIODS * settings.publish_every_s),
    )
    store = ParameterStore(settings.parameter_path, settings.region)
    return Publisher(Observer(probes, pace), store, subject, settings.policy)
