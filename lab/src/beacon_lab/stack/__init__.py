"""One Region's stack in the lab: template.yaml translated, resolved, and created where moto can create it."""

from beacon_lab.stack.deploy import Code, Deployer
from beacon_lab.stack.document import ParametersError, TemplateError
from beacon_lab.stack.model import (
    AliasTarget,
    ApiResource,
    FunctionResource,
    HealthCheckConfig,
    HealthCheckResource,
    RecordResource,
    Route,
    ScheduleResource,
    Stack,
)
from beacon_lab.stack.route53 import RecordRefusedError

__all__ = [
    "AliasTarget",
    "ApiResource",
    "Code",
    "Deployer",
    "FunctionResource",
    "HealthCheckConfig",
    "HealthCheckResource",
    "ParametersError",
    "RecordRefusedError",
    "RecordResource",
    "Route",
    "ScheduleResource",
    "Stack",
    "TemplateError",
]
