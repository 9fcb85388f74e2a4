"""Lambda's Invoke, answered by the lab's functions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote

from beacon_lab.aws.errors import ApiError, Encoded

_PATH = re.compile(r"/2015-03-31/functions/(?P<function>[^/]+)/invocations/?")
_FUNCTION = re.compile(
    r"(?:arn:aws[\w-]*:lambda:(?P<region>[a-z0-9-]+):\d{12}:function:|\d{12}:function:|function:)?"
    r"(?P<name>[A-Za-z0-9_-]{1,64})(?::(?:\$LATEST|[A-Za-z0-9_-]+))?"
)


@dataclass(frozen=True, slots=True)
class Invoked:
    """What a function answered: its JSON payload, or that of its error."""

    payload: bytes
    function_error: bool = False


class UnknownFunctionError(Exception):
    """No function of that name is in that Region."""


class ThrottledError(Exception):
    """The function's reserved concurrency is in use."""


class FunctionPort(Protocol):
    """Where invocations go; both raise UnknownFunctionError.

    ``payload`` is JSON text, "null" when the caller sent none.
    """

    async def invoke(self, region: str, function: str, payload: bytes) -> Invoked:
        """Run and wait for the answer. Raises ThrottledError."""

    async def enqueue(self, region: str, function: str, payload: bytes) -> None:
        """Put into the function's queue of asynchronous invocations, and return at once."""


class NoFunctions:
    """Where no function exists."""

    async def invoke(self, region: str, function: str, payload: bytes) -> Invoked:  # noqa: ARG002
        """No function is known."""
        raise UnknownFunctionError(function)

    async def enqueue(self, region: str, function: str, payload: bytes) -> None:  # noqa: ARG002
        """No function is known."""
        raise UnknownFunctionError(function)


def invoked_function(method: str, path: str) -> str | None:
    """The function that a request invokes, as its path names it (name, partial or full ARN); else None."""
    match = _PATH.fullmatch(path)
    return unquote(match["function"]) if match and method == "POST" else None


async def invoke(functions: FunctionPort, region: str, function: str, kind: str, payload: bytes) -> Encoded:
    """The HTTP answer to an invocation of ``kind`` RequestResponse, Event or DryRun. Raises ApiError."""
    name = _name_in(region, function)
    if payload and not _is_json(payload):
        raise ApiError(400, "InvalidRequestContentException", "Could not parse request body into json")
    try:
        match kind:
            case "Event":
                await functions.enqueue(region, name, payload or b"null")
                return Encoded(202, {}, b"")
            case "RequestResponse" | "":
                return _answer(await functions.invoke(region, name, payload or b"null"))
            case "DryRun":
                return Encoded(204, {}, b"")
            case _:
                raise ApiError(400, "InvalidParameterValueException", f"Unknown invocation type: {kind}")
    except UnknownFunctionError:
        arn = f"arn:aws:lambda:{region}:123456789012:function:{name}"
        raise ApiError(404, "ResourceNotFoundException", f"Function not found: {arn}") from None
    except ThrottledError:
        raise ApiError(429, "TooManyRequestsException", "Rate Exceeded.") from None


def _answer(invoked: Invoked) -> Encoded:
    headers = {"Content-Type": "application/json", "X-Amz-Executed-Version": "$LATEST"}
    if invoked.function_error:
        headers["X-Amz-Function-Error"] = "Unhandled"
    return Encoded(200, headers, invoked.payload)


def _name_in(region: str, function: str) -> str:
    match = _FUNCTION.fullmatch(function)
    if match is None:
        raise ApiError(400, "ValidationException", "The function name is neither a name nor an ARN")
    if match["region"] not in (None, region):
        raise ApiError(
            404,
            "ResourceNotFoundException",
            f"Functions from {match['region']} are not reachable in {region}",
        )
    return match["name"]


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True
