"""Lambda's Invoke for the AWS front: finds a function by Region and name, and runs or queues the event."""

from __future__ import annotations

import json
from collections.abc import Mapping

from beacon_lab.functions import Function
from beacon_lab.lambda_api import Invoked, ThrottledError, UnknownFunctionError
from beacon_lab.region import Region
from beacon_lab.sandbox import Kind

__all__ = ["RegionalFunctions"]


class RegionalFunctions:
    """The functions of every Region of a lab; ``regions`` may be filled later."""

    def __init__(self, regions: Mapping[str, Region]) -> None:
        self._regions = regions

    async def invoke(self, region: str, function: str, payload: bytes) -> Invoked:
        """Run and wait. Raises UnknownFunctionError and ThrottledError."""
        outcome = await self._find(region, function).invoke(json.loads(payload))
        if outcome.kind is Kind.THROTTLED:
            raise ThrottledError
        return Invoked(outcome.payload, function_error=outcome.kind is not Kind.OK)

    async def enqueue(self, region: str, function: str, payload: bytes) -> None:
        """Queue an asynchronous invocation. Raises UnknownFunctionError."""
        self._find(region, function).enqueue(json.loads(payload))

    def _find(self, region: str, function: str) -> Function:
        found = self._regions.get(region)
        named = found.function_named(function) if found else None
        if named is None:
            raise UnknownFunctionError(function)
        return named
