"""What an AWS API request says about itself before anything answers it: service, Region, operation, protocol.

Service and Region come from the credential scope that every signed request carries, in its Authorization
header or, for a presigned URL, in its query. Nothing here keeps or shows a signature, a key or a token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, urlsplit

_SCOPE = re.compile(r"^[^/]+/\d{8}/(?P<region>[a-z0-9-]+)/(?P<service>[A-Za-z0-9-]+)/aws4_request$")


class Protocol(StrEnum):
    """How a service encodes its errors."""

    JSON = "json"
    REST_JSON = "rest-json"
    XML = "xml"
    CBOR = "cbor"


_REST_JSON_SERVICES = frozenset({"lambda", "apigateway", "scheduler", "execute-api", "xray"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an AWS API. ``operation`` is empty where neither a header nor the path names it."""

    service: str
    region: str
    operation: str
    protocol: Protocol
    method: str
    path: str


def read_call(method: str, raw_path: str, headers: Mapping[str, str]) -> Call | None:
    """The call that a request makes; None when it carries no credential scope. ``headers`` ignores case."""
    split = urlsplit(raw_path)
    credential = _credential(headers.get("Authorization", ""), split.query)
    scope = _SCOPE.match(credential)
    if scope is None:
        return None
    service = scope["service"].lower()
    target = headers.get("X-Amz-Target", "")
    operation = target.rpartition(".")[2] or _cbor_operation(split.path)
    return Call(service, scope["region"], operation, _protocol(service, headers), method, split.path)


def _credential(authorization: str, query: str) -> str:
    for part in authorization.removeprefix("AWS4-HMAC-SHA256").split(","):
        name, _, value = part.strip().partition("=")
        if name == "Credential":
            return value
    return parse_qs(query).get("X-Amz-Credential", [""])[0]


def _cbor_operation(path: str) -> str:
    match = re.fullmatch(r"/service/[^/]+/operation/(\w+)", path)
    return match[1] if match else ""


def _protocol(service: str, headers: Mapping[str, str]) -> Protocol:
    if headers.get("smithy-protocol", "").startswith("rpc-v2-cbor"):
        return Protocol.CBOR
    if headers.get("X-Amz-Target"):
        return Protocol.JSON
    return Protocol.REST_JSON if service in _REST_JSON_SERVICES else Protocol.XML
