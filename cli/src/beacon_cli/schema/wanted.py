"""What one deployment needs in the database, from its configuration and its stacks. Pure.

A value that both the file and a stack know is the file's: the next deployment makes it so.

===========================  ====================================================================
part                         where it comes from
===========================  ====================================================================
the functions' roles         ``DbUser``: the file, else the stack, else the template's default
their IAM roles              the outputs ``HealthRoleArn`` and ``PublisherRoleArn`` of each stack
the operators' role          ``--db-user``, else the default
their IAM roles              ``--operator-arn``; those that are mapped already are kept
the Regions' rows            the Regions of the file
the canary                   ``WriteCanary``: on in the file or in a stack of one Region
===========================  ====================================================================
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from beacon_cli.errors import WrongUseError
from beacon_cli.fleet import Fleet, Site
from beacon_cli.situation.model import StackView

__all__ = ["Part", "Wanted", "wanted_of"]

_DEFAULT_DB_USER = "beacon_probe"  # the template's
_OUTPUTS = {"health": "HealthRoleArn", "publisher": "PublisherRoleArn"}
#: The pattern of the template's DbUser.
_ROLE = re.compile(r"(?!admin$)[a-z_][a-z0-9_]{0,62}")
_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:(?:role|user)/[\w+=,.@/-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """One Region's share: the role of its functions, and the IAM roles that log in as it."""

    region: str
    login_role: str
    arns: Mapping[str, str]
    """The IAM role of each function, by `health` and `publisher`; empty before the stack has them."""
    waits_for: str = ""
    """Why there are no ARNs: `no stack yet`. Empty where they are known."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The state that a deployment needs."""

    service: str
    target: str
    parts: tuple[Part, ...]
    operator_role: str
    operator_arns: tuple[str, ...] = ()
    canary: bool = False

    @property
    def regions(self) -> tuple[str, ...]:
        """The Regions, in the file's order."""
        return tuple(part.region for part in self.parts)

    @property
    def login_roles(self) -> tuple[str, ...]:
        """The functions' roles: one, unless the Regions have different ones."""
        return tuple(dict.fromkeys(part.login_role for part in self.parts))


def wanted_of(
    fleet: Fleet, stacks: Mapping[str, StackView | str], operator_arns: Sequence[str] = ()
) -> Wanted:
    """What ``fleet`` needs; ``stacks`` holds each Region's stack, or the words that say why it is not known.

    Raises :class:`WrongUseError` with every reason at once.
    """
    parts = tuple(_part(site, stacks[site.region]) for site in fleet.sites)
    wanted = Wanted(
        service=fleet.service,
        target=fleet.target,
        parts=parts,
        operator_role=fleet.operator_role,
        operator_arns=tuple(dict.fromkeys(operator_arns)),
        canary=any(_writes_canary(site, stacks[site.region]) for site in fleet.sites),
    )
    wrong = _wrong(wanted)
    if wrong:
        raise WrongUseError("; ".join(wrong))
    return wanted


def _part(site: Site, stack: StackView | str) -> Part:
    view = stack if isinstance(stack, StackView) else None
    role = site.parameters.get("DbUser") or (view.parameters.get("DbUser") if view else None)
    arns = {name: arn for name, key in _OUTPUTS.items() if view and (arn := view.outputs.get(key))}
    if isinstance(stack, str):
        waits_for = stack
    else:
        lacks = [key for name, key in _OUTPUTS.items() if name not in arns]
        waits_for = f"the stack is {stack.status} and has no output {' and '.join(lacks)}" if lacks else ""
    return Part(site.region, role or _DEFAULT_DB_USER, arns, waits_for)


def _writes_canary(site: Site, stack: StackView | str) -> bool:
    of_stack = stack.parameters.get("WriteCanary") if isinstance(stack, StackView) else None
    return "on" in {site.parameters.get("WriteCanary"), of_stack}


def _wrong(wanted: Wanted) -> list[str]:
    roles = (*wanted.login_roles, wanted.operator_role)
    found = [
        f"{role!r} is no name for a database role: lower case letters, digits and _, and not admin"
        for role in dict.fromkeys(roles)
        if not _ROLE.fullmatch(role)
    ]
    if wanted.operator_role in wanted.login_roles:
        found.append(f"{wanted.operator_role} is the functions' role: operators need one of their own")
    found += [
        f"{arn!r} is not the ARN of an IAM role or user, such as arn:aws:iam::123456789012:role/NAME"
        for arn in wanted.operator_arns
        if not _ARN.fullmatch(arn)
    ]
    found += [
        f"the output {_OUTPUTS[name]} of the stack of {part.region} is no ARN: {arn!r}"
        for part in wanted.parts
        for name, arn in part.arns.items()
        if not _ARN.fullmatch(arn)
    ]
    if any("'" in name or "\\" in name for name in (wanted.service, wanted.target)):
        found.append(f"{wanted.service!r} has a quotation mark or a backslash")
    return found
