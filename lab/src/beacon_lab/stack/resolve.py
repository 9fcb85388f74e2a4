"""One template with one Region's parameters: its conditions, rules, resources and outputs, evaluated.

A parameter is checked once, before anything is contacted: ``TemplateResolver.create`` raises one
ParametersError with every wrong parameter and every broken rule.
"""

from __future__ import annotations

from collections.abc import Mapping

from beacon_lab.names import ACCOUNT_ID
from beacon_lab.stack.document import Json, ParametersError, TemplateError, mapping, sequence, text
from beacon_lab.stack.identity import ResourceIdentity, name_property, named
from beacon_lab.stack.intrinsics import Evaluator
from beacon_lab.stack.parameters import Values, bind

__all__ = ["NotCreatedError", "TemplateResolver"]


class NotCreatedError(Exception):
    """A reference to a resource that has no id yet, because its service has not made it."""


class _UnboundError(Exception):
    """A reference to a parameter that was refused."""


class TemplateResolver:
    """Evaluates a template for one Region. ``created`` holds the identities that services have given."""

    def __init__(self, template: Mapping[str, Json], values: Values, *, region: str, stack_name: str) -> None:
        self.region = region
        self.created: dict[str, ResourceIdentity] = {}
        self._values = values
        self._declared = frozenset(mapping(template.get("Parameters", {}), "Parameters"))
        self._resources = mapping(template.get("Resources", {}), "Resources")
        self._conditions = mapping(template.get("Conditions", {}), "Conditions")
        self._mappings = mapping(template.get("Mappings", {}), "Mappings")
        self._outputs = mapping(template.get("Outputs", {}), "Outputs")
        self._rules = mapping(template.get("Rules", {}), "Rules")
        self._pseudo = {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Partition": "aws",
            "AWS::Region": region,
            "AWS::StackId": f"arn:aws:cloudformation:{region}:{ACCOUNT_ID}:stack/{stack_name}/{stack_name}",
            "AWS::StackName": stack_name,
            "AWS::URLSuffix": "amazonaws.com",
        }
        self._under_way: list[str] = []
        self._evaluator = Evaluator(self)

    @classmethod
    def create(
        cls, template: Mapping[str, Json], given: Mapping[str, str], *, region: str, stack_name: str
    ) -> TemplateResolver:
        """A resolver whose parameters and rules hold. Raises ParametersError with every reason."""
        values, refused = bind(template, given)
        resolver = cls(template, values, region=region, stack_name=stack_name)
        reasons = (*refused, *resolver._broken_rules())
        if reasons:
            raise ParametersError(reasons)
        return resolver

    def resource_types(self) -> dict[str, str]:
        """The type of each resource that this stack has; one whose condition fails is not there."""
        return {
            logical_id: str(mapping(node, logical_id).get("Type"))
            for logical_id, node in self._resources.items()
            if self._exists(mapping(node, logical_id))
        }

    def properties(self, logical_id: str) -> dict[str, Json]:
        """A resource's properties, evaluated. Raises NotCreatedError and TemplateError."""
        properties = self._resource(logical_id).get("Properties", {})
        try:
            return mapping(self._evaluator.value(properties), logical_id)
        except TemplateError as error:
            raise TemplateError(f"resource {logical_id}: {error}") from error

    def property(self, logical_id: str, name: str) -> Json:
        """One property, evaluated, whatever the others refer to. Raises NotCreatedError and TemplateError."""
        properties = mapping(self._resource(logical_id).get("Properties", {}), logical_id)
        if name not in properties:
            raise TemplateError(f"resource {logical_id} has no {name}")
        return self._evaluator.value(properties[name])

    def outputs(self) -> dict[str, str]:
        """The outputs whose conditions hold. Raises NotCreatedError and TemplateError."""
        return {
            name: text(self._evaluator.value(mapping(node, name).get("Value")), f"output {name}")
            for name, node in self._outputs.items()
            if self._exists(mapping(node, name))
        }

    # -- what names stand for: the Names that the evaluator asks

    def reference(self, name: str) -> Json:
        """What ``Ref`` gives."""
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._values:
            value = self._values[name]
            return list(value) if isinstance(value, list) else value
        if name in self._declared:
            raise _UnboundError(name)
        return self._identity(name).ref

    def attribute(self, logical_id: str, attribute: str) -> str:
        """What ``Fn::GetAtt`` gives."""
        attributes = self._identity(logical_id).attributes
        if attribute not in attributes:
            raise TemplateError(f"the lab does not know the attribute {logical_id}.{attribute}")
        return attributes[attribute]

    def condition(self, name: str) -> bool:
        """Whether the named condition holds."""
        if name not in self._conditions:
            raise TemplateError(f"there is no condition {name}")
        self._enter(f"condition {name}")
        try:
            return self._evaluator.truth(self._conditions[name])
        finally:
            self._under_way.pop()

    def mapped(self, name: str, first: str, second: str) -> Json:
        """An entry of the Mappings section."""
        node: Json = self._mappings
        for key in (name, first, second):
            if not isinstance(node, dict) or key not in node:
                raise TemplateError(f"there is no mapping {name}/{first}/{second}")
            node = node[key]
        return node

    # -- parts

    def _broken_rules(self) -> list[str]:
        """What the failed assertions say. A rule about a parameter that was refused is passed over."""
        broken = []
        for name, node in self._rules.items():
            rule = mapping(node, name)
            try:
                if "RuleCondition" in rule and not self._evaluator.truth(rule["RuleCondition"]):
                    continue
                for entry in sequence(rule.get("Assertions"), name):
                    assertion = mapping(entry, name)
                    if not self._evaluator.truth(assertion.get("Assert")):
                        broken.append(str(assertion.get("AssertDescription", f"rule {name} does not hold")))
            except _UnboundError:
                continue
        return broken

    def _resource(self, logical_id: str) -> dict[str, Json]:
        if logical_id not in self._resources:
            raise TemplateError(f"nothing is called {logical_id}")
        resource = mapping(self._resources[logical_id], logical_id)
        if not self._exists(resource):
            raise TemplateError(f"{logical_id} is not in this stack: its condition does not hold")
        return resource

    def _exists(self, node: Mapping[str, Json]) -> bool:
        return "Condition" not in node or self.condition(text(node["Condition"], "Condition"))

    def _identity(self, logical_id: str) -> ResourceIdentity:
        resource = self._resource(logical_id)
        if logical_id in self.created:
            return self.created[logical_id]
        kind = str(resource.get("Type"))
        key = name_property(kind)
        properties = mapping(resource.get("Properties", {}), logical_id)
        if key is None or key not in properties:
            raise NotCreatedError(f"{logical_id} ({kind}) has no id before it is created")
        self._enter(logical_id)
        try:
            name = text(self._evaluator.value(properties[key]), f"{logical_id}.{key}")
        finally:
            self._under_way.pop()
        return named(kind, name, self.region)

    def _enter(self, what: str) -> None:
        if what in self._under_way:
            raise TemplateError(f"{' → '.join([*self._under_way, what])}: refers to itself")
        self._under_way.append(what)
