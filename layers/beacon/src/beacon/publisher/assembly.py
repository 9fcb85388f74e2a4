"""Put a Region's publisher together from its settings."""

from __future__ import annotations

from beacon.document.store import ParameterStore
from beacon.dsql.probe import DsqlProbe, ProbeContext
from beacon.dsql.resolver import Resolver
from beacon.publisher.announce import Announcer
from beacon.publisher.canary import WriteCanary
from beacon.publisher.decide import Subject
from beacon.publisher.invocation import Invocation, RoundSchedule
from beacon.publisher.observe import Observer, RecheckPolicy
from beacon.publisher.round import Publisher
from beacon.settings import Settings

__all__ = ["make_invocation"]

#: A document stays valid for this many of the publisher's periods, and never for less than five minutes.
_VALID_PERIODS = 5
_VALID_AT_LEAST_S = 300
#: What reading, writing and reading again take where SSM answers at all.
_SSM_S = 4.0


def make_invocation(settings: Settings) -> Invocation:
    """Return what handles the events of the function that ``settings`` describe; contacts nothing yet."""
    context = ProbeContext(settings, Resolver())
    canary = WriteCanary(settings.own_endpoint, context) if settings.write_canary else None
    schedule = RoundSchedule(
        settings.publish_every_s, _recheck_policy(settings).confirm_s + _SSM_S, settings.speed
    )
    return Invocation(_publisher(settings, context), schedule, canary)


def _publisher(settings: Settings, context: ProbeContext) -> Publisher:
    probes = {endpoint.region: DsqlProbe(endpoint, context) for endpoint in settings.endpoints}
    subject = Subject(
        service=settings.service,
        target=settings.target,
        observer=settings.region,
        endpoints=settings.endpoints,
        valid_for_s=max(_VALID_AT_LEAST_S, _VALID_PERIODS * settings.publish_every_s),
    )
    store = ParameterStore(settings.parameter_path, settings.region)
    return Publisher(
        Observer(probes, _recheck_policy(settings)),
        store,
        subject,
        settings.policy,
        announce=Announcer(settings.region),
    )


def _recheck_policy(settings: Settings) -> RecheckPolicy:
    return RecheckPolicy(settings.probe_deadline_s, settings.recheck_s, settings.policy.fall)
