"""Calls the engine's own service APIs from inside the engine, with botocore's serializer and parser.

CloudFormation handlers run on the engine's event loop, so a call over its own port would wait for itself.
botocore's documented event `before-send` takes the request instead, and the service module answers it on
another thread, in the account and Region of the stack.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from ministack.core.responses import get_region

__all__ = ["own_client"]

_MODULES = {
    "dsql": "ministack.services.dsql",
    "route53": "ministack.services.route53",
    "wafv2": "ministack.services.waf",
}
_ANSWER_S = 20.0
_THREADS = ThreadPoolExecutor(max_workers=4, thread_name_prefix="own-service")


def own_client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients' classes at run time
    """A botocore client of this very process, for the Region whose stack is being deployed."""
    session = botocore.session.get_session()
    client = session.create_client(
        service,
        region_name=get_region(),
        endpoint_url="http://engine.invalid",  # never resolved: the hook below answers every request
        aws_access_key_id="inside",
        aws_secret_access_key="inside",  # noqa: S106 - signs a request that leaves no process
    )

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        return _answer(_MODULES[service], request)

    events: Any = client.meta.events  # botocore's stubs forbid the answer that its documentation requires
    events.register(f"before-send.{client.meta.service_model.service_id.hyphenize()}", answer)
    return client


class _Raw:
    """The object from which botocore reads a body."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        return [self._body]


def _answer(module: str, request: AWSPreparedRequest) -> AWSResponse:
    url = urlsplit(request.url)
    headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
    sent: Any = request.body or b""
    body = sent.encode() if isinstance(sent, str) else bytes(sent)
    handler = importlib.import_module(module).handle_request
    context = contextvars.copy_context()  # holds the account and the Region
    question = handler(
        request.method, unquote(url.path), headers, body, parse_qs(url.query, keep_blank_values=True)
    )
    status, answered, content = _THREADS.submit(context.run, asyncio.run, question).result(_ANSWER_S)
    content = content.encode() if isinstance(content, str) else content
    return AWSResponse(request.url, status, answered, _Raw(content))


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
