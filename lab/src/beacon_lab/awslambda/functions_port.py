"""Lambda's Invoke for the AWS front: finds a function by Region and name, and runs or queues the event."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from beacon_lab.aws.lambda_api import Invoked, ThrottledError, UnknownFunctionError
from beacon_lab.awslambda.functions import Function
from beacon_lab.awslambda.sandbox import InvocationStatus

__all__ = ["RegionalFunctions"]


class RegionalFunctions:
    """The functions of a lab, Region by Region."""

    def __init__(self, regions: Mapping[str, Collection[Function]]) -> None:
        self._regions = regions

    async def invoke(self, region: str, function: str, payload: bytes) -> Invoked:
        """Run and wait. Raises UnknownFunctionError and ThrottledError."""
        result = await self._find(region, function).invoke(json.loads(payload))
        if result.status is InvocationStatus.THROTTLED:
            raise ThrottledError
        return Invoked(result.payload, function_error=result.status is not InvocationStatus.OK)

    async def enqueue(self, region: str, function: str, payload: bytes) -> None:
        """Queue an asynchronous invocation. Raises UnknownFunctionError."""
        self._find(region, function).enqueue(json.loads(payload))

    def _find(self, region: str, function: str) -> Function:
        for found in self._regions.get(region, ()):
            if found.spec.name == function:
                return found
        raise UnknownFunctionError(function)
