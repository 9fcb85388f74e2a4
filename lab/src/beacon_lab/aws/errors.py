"""AWS API errors in the encoding that each protocol's clients parse."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape

from beacon_lab.aws.call import Protocol

ROUTE53_NAMESPACE = "https://route53.amazonaws.com/doc/2013-04-01/"


@dataclass(frozen=True, slots=True)
class ApiError(Exception):
    """An error that an AWS API answers."""

    status: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def encode_error(error: ApiError, protocol: Protocol) -> Encoded:
    """The HTTP answer that says ``error``."""
    request_id = str(uuid.uuid4())
    members = {"__type": error.code, "message": error.message}
    match protocol:
        case Protocol.JSON:
            kind, body = "application/x-amz-json-1.1", json.dumps(members).encode()
        case Protocol.REST_JSON:
            kind, body = "application/json", json.dumps({"Type": "User", "message": error.message}).encode()
        case Protocol.CBOR:
            kind, body = "application/cbor", _cbor_map(members)
        case Protocol.XML:
            kind, body = "text/xml", _xml(error, request_id).encode()
    headers = {"Content-Type": kind, "x-amzn-RequestId": request_id, "x-amzn-ErrorType": error.code}
    if protocol is Protocol.CBOR:
        headers["smithy-protocol"] = "rpc-v2-cbor"
    return Encoded(error.status, headers, body)


def _xml(error: ApiError, request_id: str) -> str:
    sender = "Sender" if error.status < 500 else "Receiver"
    return (
        f'<?xml version="1.0"?>\n<ErrorResponse xmlns="{ROUTE53_NAMESPACE}"><Error><Type>{sender}</Type>'
        f"<Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )


def _cbor_map(members: dict[str, str]) -> bytes:
    """A map of at most 23 texts, by RFC 8949."""
    parts = [bytes([0xA0 | len(members)])]
    for text in (item for pair in members.items() for item in pair):
        encoded = text.encode()
        parts.append(b"\x79" + len(encoded).to_bytes(2, "big") + encoded)
    return b"".join(parts)
