"""What ``Ref`` and ``Fn::GetAtt`` give for a resource that is identified by its name.

The others get their id from their service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from beacon_lab.names import ACCOUNT_ID

__all__ = ["ResourceIdentity", "named"]


@dataclass(frozen=True, slots=True)
class ResourceIdentity:
    """A resource's ``Ref``, and its attributes by name."""

    ref: str
    attributes: Mapping[str, str] = field(default_factory=dict)


# By type: the property that holds the name, Ref, Arn. {n} is the name, {r} the Region, {a} the account.
_NAMED = {
    "AWS::ApiGateway::Stage": ("StageName", "{n}", None),
    "AWS::CloudWatch::Alarm": ("AlarmName", "{n}", "arn:aws:cloudwatch:{r}:{a}:alarm:{n}"),
    "AWS::IAM::Role": ("RoleName", "{n}", "arn:aws:iam::{a}:role/{n}"),
    "AWS::Lambda::Function": ("FunctionName", "{n}", "arn:aws:lambda:{r}:{a}:function:{n}"),
    "AWS::Lambda::LayerVersion": ("LayerName", "arn:aws:lambda:{r}:{a}:layer:{n}:1", None),
    "AWS::Logs::LogGroup": ("LogGroupName", "{n}", "arn:aws:logs:{r}:{a}:log-group:{n}:*"),
    "AWS::Scheduler::Schedule": ("Name", "{n}", "arn:aws:scheduler:{r}:{a}:schedule/default/{n}"),
    "AWS::WAFv2::IPSet": ("Name", "{n}|{n}|REGIONAL", "arn:aws:wafv2:{r}:{a}:regional/ipset/{n}/{n}"),
    "AWS::WAFv2::WebACL": ("Name", "{n}|{n}|REGIONAL", "arn:aws:wafv2:{r}:{a}:regional/webacl/{n}/{n}"),
}


def name_property(resource_type: str) -> str | None:
    """The property that identifies a resource of this type, or None when its service makes an id."""
    return _NAMED[resource_type][0] if resource_type in _NAMED else None


def named(resource_type: str, name: str, region: str) -> ResourceIdentity:
    """The identity of a resource whose ``name_property`` has the value ``name``."""
    _, ref, arn = _NAMED[resource_type]
    fill = {"n": name, "r": region, "a": ACCOUNT_ID}
    return ResourceIdentity(ref.format(**fill), {} if arn is None else {"Arn": arn.format(**fill)})
