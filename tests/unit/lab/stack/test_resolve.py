"""The strict resolver: each intrinsic function, conditions, rules, and what it refuses."""

from typing import Any

import pytest

from beacon_lab.stack.document import ParametersError, TemplateError
from beacon_lab.stack.identity import ResourceIdentity
from beacon_lab.stack.resolve import NotCreatedError, TemplateResolver

PARAMETERS: dict[str, Any] = {
    "Name": {"Type": "String", "Default": "orders"},
    "Empty": {"Type": "String", "Default": ""},
    "Count": {"Type": "Number", "Default": 3, "MinValue": 1, "MaxValue": 9},
    "Items": {"Type": "CommaDelimitedList", "Default": "a, b,c"},
}


def resolver(template: dict[str, Any], **given: str) -> TemplateResolver:
    whole = {"Parameters": PARAMETERS, **template}
    return TemplateResolver.create(whole, given, region="eu-west-1", stack_name="orders-prod")


def value(node: object, *, sections: dict[str, Any] | None = None, **given: str) -> object:
    """What a property with `node` resolves to."""
    resources = {"It": {"Type": "Custom", "Properties": {"Value": node}}}
    template = {**(sections or {}), "Resources": {**resources, **(sections or {}).get("Resources", {})}}
    return resolver(template, **given).properties("It").get("Value")


SECTIONS: dict[str, Any] = {
    "Conditions": {
        "Named": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, ""]}]},
        "Blank": {"Fn::Equals": [{"Ref": "Empty"}, ""]},
        "Both": {"Fn::And": [{"Condition": "Named"}, {"Condition": "Blank"}]},
        "Either": {"Fn::Or": [{"Fn::Equals": [{"Ref": "Count"}, 9]}, {"Condition": "Named"}]},
        "Neither": {"Fn::Not": [{"Condition": "Either"}]},
    },
    "Mappings": {"Map": {"three": {"list": ["x", "y"]}, "3": {"word": "drei"}}},
    "Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Sub": "${Name}-role"}}},
        "Made": {"Type": "AWS::Route53::HealthCheck", "Properties": {}},
    },
}


@pytest.mark.parametrize(
    ("node", "result"),
    [
        ("plain", "plain"),
        (7, 7),
        ({"Ref": "Name"}, "orders"),
        ({"Ref": "Count"}, "3"),
        ({"Ref": "Items"}, ["a", "b", "c"]),
        ({"Ref": "AWS::Region"}, "eu-west-1"),
        ({"Ref": "AWS::AccountId"}, "123456789012"),
        ({"Ref": "AWS::Partition"}, "aws"),
        ({"Ref": "AWS::URLSuffix"}, "amazonaws.com"),
        ({"Ref": "AWS::StackName"}, "orders-prod"),
        ({"Ref": "Role"}, "orders-role"),
        ({"Fn::GetAtt": ["Role", "Arn"]}, "arn:aws:iam::123456789012:role/orders-role"),
        ({"Fn::GetAtt": "Role.Arn"}, "arn:aws:iam::123456789012:role/orders-role"),
        ({"Fn::Sub": "${Name}@${AWS::Region} ${!Name}"}, "orders@eu-west-1 ${Name}"),
        ({"Fn::Sub": "${Role.Arn}!"}, "arn:aws:iam::123456789012:role/orders-role!"),
        ({"Fn::Sub": ["${Name}-${Other}", {"Other": {"Ref": "Count"}}]}, "orders-3"),
        ({"Fn::Join": ["-", ["x", {"Ref": "Name"}, 1]]}, "x-orders-1"),
        ({"Fn::Join": ["", {"Ref": "Items"}]}, "abc"),
        ({"Fn::Split": [",", "p,q"]}, ["p", "q"]),
        ({"Fn::Select": [1, {"Ref": "Items"}]}, "b"),
        ({"Fn::Select": ["0", {"Fn::Split": [".", "host.name"]}]}, "host"),
        ({"Fn::If": ["Named", "yes", "no"]}, "yes"),
        ({"Fn::If": ["Neither", "yes", {"Ref": "Name"}]}, "orders"),
        ({"Fn::FindInMap": ["Map", "three", "list"]}, ["x", "y"]),
        ({"Fn::FindInMap": ["Map", {"Ref": "Count"}, "word"]}, "drei"),
        ({"Sid": "x", "Condition": {"Bool": "y"}}, {"Sid": "x", "Condition": {"Bool": "y"}}),
    ],
)
def test_a_function_evaluates_as_in_cloudformation(node: object, result: object) -> None:
    """One function a row, with what it gives."""
    assert value(node, sections=SECTIONS) == result


@pytest.mark.parametrize(
    ("condition", "holds"),
    [("Named", True), ("Blank", True), ("Both", True), ("Either", True), ("Neither", False)],
)
def test_a_condition_combines_others(condition: str, holds: bool) -> None:
    """Not, And, Or and references between conditions."""
    assert value({"Fn::If": [condition, True, False]}, sections=SECTIONS) is holds


def test_no_value_leaves_its_place_out() -> None:
    """A property, a list entry and a nested member vanish; what stands around them stays."""
    absent = {"Fn::If": ["Named", {"Ref": "AWS::NoValue"}, "x"]}
    assert value(["a", absent, "b"], sections=SECTIONS) == ["a", "b"]
    assert value({"Keep": 1, "Drop": absent}, sections=SECTIONS) == {"Keep": 1}
    assert value(absent, sections=SECTIONS) is None


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"Fn::Base64": "x"}, "Fn::Base64"),
        ({"Fn::ImportValue": "x"}, "Fn::ImportValue"),
        ({"Ref": "Missing"}, "nothing is called Missing"),
        ({"Fn::GetAtt": ["Role", "RoleId"]}, "Role.RoleId"),
        ({"Fn::Sub": "${Missing}"}, "nothing is called Missing"),
        ({"Fn::Sub": {"Ref": "Name"}}, "Fn::Sub takes a string"),
        ({"Fn::Sub": "${Items}"}, "a single value is wanted"),
        ({"Fn::Join": [{"Ref": "Name"}, []]}, "Fn::Join takes no function as its delimiter"),
        ({"Fn::Split": [{"Ref": "Name"}, "x"]}, "Fn::Split takes no function as its delimiter"),
        ({"Fn::Select": [3, {"Ref": "Items"}]}, "there is no entry 3 among 3"),
        ({"Fn::Select": [-1, {"Ref": "Items"}]}, "there is no entry -1"),
        ({"Fn::Join": ["-"]}, "Fn::Join takes 2 arguments, not 1"),
        ({"Fn::FindInMap": ["Map", "four", "list"]}, "there is no mapping Map/four/list"),
        ({"Fn::If": ["Unknown", 1, 2]}, "there is no condition Unknown"),
        ({"Fn::Equals": [["a"], "a"]}, "a single value is wanted"),
    ],
)
def test_what_it_does_not_know_is_an_error_that_names_it(node: object, reason: str) -> None:
    """Nothing passes through unevaluated."""
    with pytest.raises(TemplateError, match="resource It") as refused:
        value(node, sections=SECTIONS)
    assert reason in str(refused.value)


def test_an_id_that_a_service_gives_is_awaited() -> None:
    """Before it is created a reference is an error of its own; afterwards it is the id."""
    resources = SECTIONS["Resources"] | {"It": {"Type": "Custom", "Properties": {"Id": {"Ref": "Made"}}}}
    found = resolver({**SECTIONS, "Resources": resources})
    with pytest.raises(NotCreatedError, match="Made"):
        found.properties("It")
    found.created["Made"] = ResourceIdentity("hc-1")
    assert found.properties("It") == {"Id": "hc-1"}


def test_a_resource_without_its_condition_is_not_there() -> None:
    """Neither listed nor to be referred to."""
    resources = {
        "Gone": {"Type": "AWS::IAM::Role", "Condition": "Neither", "Properties": {"RoleName": "r"}},
        "It": {"Type": "Custom", "Properties": {"Value": {"Ref": "Gone"}}},
    }
    found = resolver({**SECTIONS, "Resources": resources})
    assert found.resource_types() == {"It": "Custom"}
    with pytest.raises(TemplateError, match="Gone is not in this stack"):
        found.properties("It")


def test_outputs_obey_their_conditions() -> None:
    """An output of something that is not there is not there either."""
    outputs = {"Yes": {"Value": {"Ref": "Role"}}, "No": {"Condition": "Neither", "Value": {"Ref": "Missing"}}}
    assert resolver({**SECTIONS, "Outputs": outputs}).outputs() == {"Yes": "orders-role"}


def test_a_circle_is_an_error_and_no_endless_loop() -> None:
    """Conditions and names that lead back to themselves."""
    conditions = {"One": {"Condition": "Two"}, "Two": {"Fn::Not": [{"Condition": "One"}]}}
    with pytest.raises(TemplateError, match="refers to itself"):
        value({"Fn::If": ["One", 1, 2]}, sections={"Conditions": conditions})
    role = {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Sub": "${Role}-x"}}}
    with pytest.raises(TemplateError, match="refers to itself"):
        value({"Ref": "Role"}, sections={"Resources": {"Role": role}})


RULES: dict[str, Any] = {
    "Parameters": {**PARAMETERS, "Required": {"Type": "String", "AllowedPattern": "[a-z]+"}},
    "Rules": {
        "NineNeedsName": {
            "RuleCondition": {"Fn::Equals": [{"Ref": "Count"}, "9"]},
            "Assertions": [
                {
                    "Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, ""]}]},
                    "AssertDescription": "no name",
                },
                {
                    "Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Required"}, "no"]}]},
                    "AssertDescription": "no",
                },
            ],
        },
        "Always": {"Assertions": [{"Assert": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Name"}, "root"]}]}}]},
    },
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"Required": "yes"}, []),
        ({"Required": "yes", "Count": "8", "Name": ""}, []),
        ({"Required": "yes", "Count": "9", "Name": ""}, ["no name"]),
        ({"Required": "no", "Count": "9", "Name": ""}, ["no name", "no"]),
        ({"Required": "yes", "Name": "root"}, ["rule Always does not hold"]),
    ],
)
def test_a_rule_asserts_only_under_its_condition(given: dict[str, str], expected: list[str]) -> None:
    """Each failed assertion is a reason; a rule without a condition always applies."""
    reasons: list[str] = []
    try:
        resolver(RULES, **given)
    except ParametersError as refused:
        reasons = list(refused.reasons)
    assert reasons == expected


def test_a_rule_about_a_refused_parameter_adds_nothing() -> None:
    """The parameter's own reason is enough; rules that can be judged still are."""
    with pytest.raises(ParametersError) as refused:
        resolver(RULES, Required="NO", Count="9", Name="root")
    assert [reason.split()[0] for reason in refused.value.reasons] == ["Required", "rule"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"Count": "0"}, ["Count"]),
        ({"Count": "10"}, ["Count"]),
        ({"Count": "three"}, ["Count"]),
        ({"Count": "1e0"}, ["Count"]),
        ({"Count": "", "Missing": "x"}, ["Missing", "Count"]),
    ],
)
def test_a_number_keeps_to_its_bounds(given: dict[str, str], names: list[str]) -> None:
    """And a name that was never declared is a mistake, not a wish."""
    with pytest.raises(ParametersError) as refused:
        resolver({}, **given)
    assert [reason.split()[0] for reason in refused.value.reasons] == names


def test_a_pattern_must_match_the_whole_value() -> None:
    """As in CloudFormation, with or without anchors."""
    with pytest.raises(ParametersError):
        resolver(RULES, Required="abc1")
    with pytest.raises(ParametersError):
        resolver(RULES, Required="abc\n")


def test_an_unknown_parameter_type_is_an_error() -> None:
    """A type that is not checked here would be accepted blindly."""
    with pytest.raises(TemplateError, match=r"AWS::SSM::Parameter::Name"):
        resolver({"Parameters": {"P": {"Type": "AWS::SSM::Parameter::Name", "Default": "x"}}})
