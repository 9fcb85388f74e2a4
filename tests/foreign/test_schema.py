"""The second witness: CloudFormation's own resource schemas, for what the foreign engine does not keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]
from tests.foreign.fleet import CLUSTERS, HOSTS, ONE, TOKEN
from tests.foreign.seen import READERS, STUBBED, UNKNOWN
from tools.foreign_engine.create_only import CREATE_ONLY
from tools.foreign_engine.process import ROOT

from beacon_lab.stack.translate import read_template, translate

Json = Any

GIVEN = {"PathToken": TOKEN, "DsqlClusterArns": CLUSTERS, "DsqlEndpoint": HOSTS[ONE]}
TEMPLATES = ("template.yaml", "global.yaml", "dsql.yaml")
#: Attributes that AWS documents and the bundled schemas do not have yet.
NEWER = {("AWS::DSQL::Cluster", "Endpoint")}


@cache
def template(name: str) -> Json:
    if name == "template.yaml":
        return translate(ROOT / name, region=ONE, parameters=GIVEN).template
    return read_template(ROOT / name)


def schema(kind: str) -> Json:
    return PROVIDER_SCHEMA_MANAGER.get_resource_schema(ONE, kind).schema


def names(pointers: list[str] | None) -> set[str]:
    """The first name of each pointer such as /properties/HealthCheckConfig/Type."""
    return {pointer.split("/")[2] for pointer in pointers or []}


def attributes_read(node: Json) -> Iterator[tuple[str, str]]:
    """Each logical id and attribute that `Fn::GetAtt` or `Fn::Sub` asks for."""
    if isinstance(node, list):
        for each in node:
            yield from attributes_read(each)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == "Fn::GetAtt":
                logical_id, attribute = value.split(".", 1) if isinstance(value, str) else value
                yield logical_id, attribute
            elif name == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from re.findall(r"\$\{(\w+)\.(\w+)\}", text)
            yield from attributes_read(value)


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_resource_is_what_its_schema_knows(name: str) -> None:
    """Its type exists, it sets what is required, and nothing that is unknown or read-only."""
    resources = template(name)["Resources"]
    assert resources
    for logical_id, resource in resources.items():
        known, given = schema(resource["Type"]), set(resource.get("Properties", {}))
        assert given <= set(known["properties"]), logical_id
        assert set(known.get("required", [])) <= given, logical_id
        assert not given & names(known.get("readOnlyProperties")), logical_id


@pytest.mark.parametrize("name", TEMPLATES)
def test_each_attribute_that_is_read_exists(name: str) -> None:
    """In properties and in outputs; `AWS::Region` and parameters are no attributes."""
    document = template(name)
    for logical_id, attribute in attributes_read({key: document[key] for key in ("Resources", "Outputs")}):
        kind = document["Resources"][logical_id]["Type"]
        known = PROVIDER_SCHEMA_MANAGER.get_resource_schema(ONE, kind).get_atts
        assert attribute in known or (kind, attribute) in NEWER, (logical_id, attribute)


def test_what_the_engine_does_not_know_has_a_schema() -> None:
    """No entry of the list is a misspelling, and none is left from a template of yesterday."""
    used: dict[str, set[str]] = {}
    for name in TEMPLATES:
        for resource in template(name)["Resources"].values():
            used.setdefault(resource["Type"], set()).update(resource.get("Properties", {}))
    for kind, properties in UNKNOWN.items():
        assert properties <= set(schema(kind)["properties"]), kind
        assert properties <= used[kind], kind
    assert {kind.partition(" on ")[0] for kind in STUBBED} <= set(used)
    assert set(used) == set(READERS)


def test_our_handlers_replace_where_cloudformation_does() -> None:
    """The schema's createOnlyProperties, by the name that the handler looks at."""
    for kind, properties in CREATE_ONLY.items():
        assert set(properties) == {
            pointer.rpartition("/")[2] for pointer in schema(kind)["createOnlyProperties"]
        }
