"""The resource policy of a REST API, evaluated as IAM does for a caller without an AWS identity.

| statements that match the request | verdict |
| --- | --- |
| any Deny | denied, explicitly |
| an Allow and no Deny | allowed |
| none | denied |

A statement matches when its principal is `*`, its action covers execute-api:Invoke, one of its
resources covers the request's ARN, and every condition holds. What this module does not know how to
evaluate is refused when the policy is read, never guessed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Self

__all__ = ["PolicyDecision", "PolicyError", "ResourcePolicy", "method_arn"]

ACTION = "execute-api:Invoke"
KNOWN_MEMBERS = frozenset({"Sid", "Effect", "Principal", "Action", "Resource", "Condition"})


class PolicyError(ValueError):
    """The policy is malformed, or says something that this evaluation does not know."""


@unique
class PolicyDecision(StrEnum):
    """What a policy says of a request."""

    ALLOWED = "allowed"
    DENIED = "denied"
    EXPLICITLY_DENIED = "explicitly denied"


@dataclass(frozen=True, slots=True)
class _Addresses:
    """``aws:SourceIp`` inside (IpAddress) or outside (NotIpAddress) of every network."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    inside: bool

    def holds(self, source: IPv4Address) -> bool:
        return any(source in network for network in self.networks) is self.inside


@dataclass(frozen=True, slots=True)
class _PolicyStatement:
    allows: bool
    everybody: bool
    actions: tuple[re.Pattern[str], ...]
    resources: tuple[re.Pattern[str], ...]
    conditions: tuple[_Addresses, ...]

    def matches(self, source: IPv4Address, arn: str) -> bool:
        return (
            self.everybody
            and any(action.fullmatch(ACTION) for action in self.actions)
            and any(resource.fullmatch(arn) for resource in self.resources)
            and all(condition.holds(source) for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class ResourcePolicy:
    """A policy that was read; one without statements (an API without a policy) allows everything."""

    statements: tuple[_PolicyStatement, ...]

    @classmethod
    def read(cls, document: Mapping[str, object], *, api_arn: str) -> Self:
        """Read a policy whose intrinsic functions are resolved; an empty document is no policy.

        ``api_arn`` (``arn:aws:execute-api:REGION:ACCOUNT:API``) completes the short form ``execute-api:/…``.
        Raises PolicyError.
        """
        if not document:
            return cls(())
        statements = _several(document.get("Statement"))
        if not statements:
            raise PolicyError("a resource policy needs a Statement")
        return cls(tuple(_statement(found, api_arn) for found in statements))

    def evaluate(self, *, source: str, arn: str) -> PolicyDecision:
        """Whether a caller at the public address ``source`` may invoke the method of this ARN."""
        if not self.statements:
            return PolicyDecision.ALLOWED
        address = IPv4Address(source)
        effects = {found.allows for found in self.statements if found.matches(address, arn)}
        if False in effects:
            return PolicyDecision.EXPLICITLY_DENIED
        return PolicyDecision.ALLOWED if effects else PolicyDecision.DENIED


def method_arn(api_arn: str, *, stage: str, method: str, path: str) -> str:
    """The ARN of one method of a stage; ``path`` is the request's path without the stage."""
    return f"{api_arn}/{stage}/{method}{path}"


def _statement(found: object, api_arn: str) -> _PolicyStatement:
    if not isinstance(found, Mapping):
        raise PolicyError(f"a statement is {type(found).__name__}, not an object")
    if unknown := sorted(set(found) - KNOWN_MEMBERS):
        raise PolicyError(f"members this gateway cannot evaluate: {', '.join(unknown)}")
    effect = found.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError(f"Effect {effect!r} is neither Allow nor Deny")
    resources = [
        api_arn + text.removeprefix("execute-api:") if text.startswith("execute-api:/") else text
        for text in _texts(found, "Resource")
    ]
    return _PolicyStatement(
        allows=effect == "Allow",
        everybody=_everybody(found.get("Principal")),
        actions=tuple(_wildcards(text, re.IGNORECASE) for text in _texts(found, "Action")),
        resources=tuple(_wildcards(text) for text in resources),
        conditions=tuple(_conditions(found.get("Condition", {}))),
    )


def _conditions(found: object) -> list[_Addresses]:
    if not isinstance(found, Mapping):
        raise PolicyError("a Condition is not an object")
    conditions = []
    for operator, keys in found.items():
        if operator not in ("IpAddress", "NotIpAddress") or not isinstance(keys, Mapping):
            raise PolicyError(f"condition {operator!r}: only IpAddress and NotIpAddress are known")
        for key, values in keys.items():
            if str(key).lower() != "aws:sourceip":
                raise PolicyError(f"condition {operator} on {key!r}: only aws:SourceIp is known")
            conditions.append(_Addresses(_networks(values), inside=operator == "IpAddress"))
    return conditions


def _networks(values: object) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(str(value), strict=False) for value in _several(values))
    except ValueError as error:
        raise PolicyError(f"aws:SourceIp: {error}") from error


def _everybody(principal: object) -> bool:
    named = principal.get("AWS") if isinstance(principal, Mapping) else principal
    return "*" in _several(named)


def _texts(found: Mapping[str, object], member: str) -> list[str]:
    texts = _several(found.get(member))
    if not texts or not all(isinstance(text, str) for text in texts):
        raise PolicyError(f"{member} must be a text or a list of texts")
    return [str(text) for text in texts]


def _several(found: object) -> Sequence[object]:
    if found is None:
        return ()
    return found if isinstance(found, list | tuple) else (found,)


def _wildcards(pattern: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """IAM's wildcards: ``*`` is any text, slashes included, and ``?`` one character."""
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(mark, re.escape(mark)) for mark in pattern), flags | re.DOTALL)
