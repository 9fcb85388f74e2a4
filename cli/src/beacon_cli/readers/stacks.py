"""A Region's stack, as CloudFormation describes it."""

from __future__ import annotations

from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, Known, StackView, Unknown

__all__ = ["name_of", "no_stack", "read_stack_view"]

#: CloudFormation shows asterisks for it; it is kept out all the same.
_SECRET = "PathToken"  # noqa: S105 - a parameter's name


def name_of(region: str) -> str:
    """What to call the source in a sentence."""
    return f"CloudFormation of {region}"


def no_stack(region: str, name: str) -> Unknown:
    """The fact that ``region`` has no stack called ``name``."""
    return Unknown(f"{region} has no stack {name}")


def read_stack_view(sessions: Sessions, region: str) -> Fact[StackView]:
    """The stack of ``region``."""
    name = sessions.fleet.site(region).stack_name
    try:
        row = sessions.cloudformation(region).describe_stacks(StackName=name)["Stacks"][0]
    except FAILURES as error:
        if "does not exist" in str(error):
            return no_stack(region, name)
        return Unknown(sentence_of(error, name_of(region)))
    parameters = {one["ParameterKey"]: one["ParameterValue"] for one in row.get("Parameters", [])}
    parameters.pop(_SECRET, None)
    outputs = {one["OutputKey"]: one["OutputValue"] for one in row.get("Outputs", [])}
    tags = {one["Key"]: one["Value"] for one in row.get("Tags", [])}
    return Known(
        StackView(
            name=name,
            status=row["StackStatus"],
            updated_at=row.get("LastUpdatedTime", row["CreationTime"]),
            version=tags.get("version") or _layer_version(outputs.get("LayerArn", "")),
            parameters=parameters,
            outputs=outputs,
        )
    )


def _layer_version(arn: str) -> str:
    """`layer 7` for an ARN that ends with :7."""
    last = arn.rpartition(":")[2]
    return f"layer {last}" if last.isdigit() else ""
