"""An account that begins empty: deploys template.yaml into a Region of a running lab, and again over itself.

:mod:`beacon_lab.aws.change_sets` answers CloudFormation's calls and asks this module to do the work: the
stack, then the Region's functions, gateway, schedules and names, as the start of a whole lab does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from beacon_lab.aws.change_sets import Given
from beacon_lab.aws.errors import ApiError
from beacon_lab.aws.front import AwsFront
from beacon_lab.awslambda.functions_port import RegionalFunctions
from beacon_lab.cloud import Cloud
from beacon_lab.defects import Defects
from beacon_lab.errors import LabError
from beacon_lab.region import Region
from beacon_lab.route53.dns_server import DnsServer
from beacon_lab.route53.poll import Dial
from beacon_lab.stack import Deployer, Stack
from beacon_lab.stack.document import ParametersError, TemplateError, mapping
from beacon_lab.stack.parameters import described, settled
from beacon_lab.stack.translate import read_template

__all__ = ["Account", "prepare_uploads"]

_HTTPS = 443
#: The stack that SAM keeps for its uploads, by SAM's own name and tag.
_SAM_STACK = "aws-sam-cli-managed-default"
_SAM_TEMPLATE = {
    "Resources": {"SamCliSourceBucket": {"Type": "AWS::S3::Bucket"}},
    "Outputs": {"SourceBucket": {"Value": {"Ref": "SamCliSourceBucket"}}},
}


class Account:
    """The stacks of one service, by Region, and what runs for each of them.

    ``regions`` and ``dials`` are filled in as Regions are deployed; ``start`` starts the parts of a stack.
    """

    def __init__(
        self,
        *,
        deployer: Deployer,
        template: Path,
        service: str,
        regions: MutableMapping[str, Region],
        start: Callable[[Stack], Awaitable[Region]],
        front: AwsFront,
        dns: DnsServer,
        dials: MutableMapping[tuple[str, int], Dial],
        defects: Defects,
    ) -> None:
        self._deployer = deployer
        self._template = template
        self._service = service
        self._regions = regions
        self._start = start
        self._front = front
        self._dns = dns
        self._dials = dials
        self._defects = defects
        self._under_way: set[asyncio.Task[None]] = set()

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a deployment in the background; an error of the lab itself ends the lab."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        self._defects.watch(f"a deployment of {self._service}", task)

    async def stop(self) -> None:
        """End what is under way."""
        for task in tuple(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def parameters(self, region: str) -> Mapping[str, str]:
        """As :class:`beacon_lab.aws.change_sets.Deploys` says."""
        found = self._regions.get(region)
        return {} if found is None else described(read_template(self._template), found.stack.parameters)

    def outputs(self, region: str) -> Mapping[str, str]:
        """As :class:`beacon_lab.aws.change_sets.Deploys` says."""
        found = self._regions.get(region)
        return {} if found is None else found.stack.outputs

    def summary(self) -> Sequence[Mapping[str, str]]:
        """As :class:`beacon_lab.aws.change_sets.Deploys` says."""
        declared = mapping(read_template(self._template).get("Parameters", {}), "Parameters")
        rows = []
        for name, node in declared.items():
            declaration = mapping(node, name)
            row = {"ParameterKey": name, "ParameterType": str(declaration.get("Type", "String"))}
            if "Default" in declaration:
                row["DefaultValue"] = str(declaration["Default"])
            rows.append(row | {"NoEcho": str(bool(declaration.get("NoEcho"))).lower()})
        return rows

    def check(self, region: str, given: Given) -> None:
        """As :class:`beacon_lab.aws.change_sets.Deploys` says."""
        try:
            self._deployer.check(region, self._service, self._settled(region, given))
        except (ParametersError, TemplateError) as error:
            raise ApiError(400, "ValidationError", str(error)) from error

    async def deploy(self, region: str, given: Given) -> None:
        """As :class:`beacon_lab.aws.change_sets.Deploys` says."""
        before = self._regions.get(region)
        try:
            values = self._settled(region, given)
            if before is None:
                stack = await asyncio.to_thread(self._deployer.create, region, self._service, values)
            else:
                stack = await asyncio.to_thread(self._deployer.update, before.stack, values)
        except (ParametersError, TemplateError, LabError, BotoCoreError, ClientError) as error:
            raise ApiError(400, "ValidationError", str(error)) from error
        if before is not None and _runs_the_same(before.stack, stack):
            before.stack = stack
            return
        if before is not None:
            await before.stop()
        await self._run_stack(stack)

    def _settled(self, region: str, given: Given) -> dict[str, str]:
        found = self._regions.get(region)
        values = {name: value for name, value in given.items() if value is not None}
        previous = {} if found is None else found.stack.parameters
        return settled(read_template(self._template), values, previous)

    async def _run_stack(self, stack: Stack) -> None:
        region = await self._start(stack)
        self._dials[stack.api.host, _HTTPS] = region.gateway_dial
        self._dns.know(stack.api.host, region.gateway.address)
        self._regions[stack.region] = region
        self._front.functions = RegionalFunctions(
            {name: found.functions.values() for name, found in self._regions.items()}
        )
        region.start_schedules(self._defects)


def prepare_uploads(cloud: Cloud, regions: Sequence[str]) -> None:
    """Make the bucket that ``sam deploy --resolve-s3`` keeps in each Region.

    SAM looks at the outputs of the bucket's stack, and the simulator gives a stack outputs only where it is
    not made through a change set.
    """
    for region in regions:
        with contextlib.closing(cloud.client("cloudformation", region)) as client:
            client.create_stack(
                StackName=_SAM_STACK,
                TemplateBody=json.dumps(_SAM_TEMPLATE),
                Tags=[{"Key": "ManagedStackSource", "Value": "AwsSamCli"}],
            )


def _runs_the_same(before: Stack, after: Stack) -> bool:
    """Whether what runs for a stack is untouched by an update, such as one of its record."""
    return (before.functions, before.api, before.schedules) == (after.functions, after.api, after.schedules)
