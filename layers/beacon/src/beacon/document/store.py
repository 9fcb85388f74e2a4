"""The SSM parameters of one target: read both, write with a check of the version that Put returns.

PutParameter has no compare-and-swap. So a writer reads again before it writes, and checks the version that
comes back: any other than the one read plus one means that another writer wrote in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3

from beacon.aws.calls import CONFIG, FAILURES, code_of

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

__all__ = ["ParameterStore", "StoreError", "Stored"]


class StoreError(Exception):
    """SSM could not be read or written. ``code`` is the service's error code or the client's error type."""

    def __init__(self, action: str, code: str) -> None:
        self.code = code
        super().__init__(f"{action}: {code}")


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored now; version 0 and ``None`` stand for a parameter that does not exist."""

    document: str | None = None
    document_version: int = 0
    endpoint: str | None = None
    endpoint_version: int = 0


class ParameterStore:
    """Reads and writes ``{path}/endpoint`` and ``{path}/document`` in one Region."""

    def __init__(self, path: str, region: str, client: SSMClient | None = None) -> None:
        self._document = f"{path}/document"
        self._endpoint = f"{path}/endpoint"
        self._client = client or boto3.client("ssm", region_name=region, config=CONFIG)

    def read(self) -> Stored:
        """Return both values; raise :class:`StoreError`."""
        try:
            answer = self._client.get_parameters(Names=[self._document, self._endpoint])
        except FAILURES as error:
            raise StoreError("reading the parameters failed", code_of(error)) from None
        found = {parameter["Name"]: parameter for parameter in answer["Parameters"]}
        document, endpoint = found.get(self._document), found.get(self._endpoint)
        return Stored(
            document=document["Value"] if document else None,
            document_version=document["Version"] if document else 0,
            endpoint=endpoint["Value"] if endpoint else None,
            endpoint_version=endpoint["Version"] if endpoint else 0,
        )

    def read_document(self) -> str | None:
        """Return the document alone, ``None`` when there is none; raise :class:`StoreError`.

        For consumers, who need no right to anything else.
        """
        try:
            answer = self._client.get_parameters(Names=[self._document])
        except FAILURES as error:
            raise StoreError("reading the document failed", code_of(error)) from None
        return next((parameter["Value"] for parameter in answer["Parameters"]), None)

    def write_document(self, text: str) -> int:
        """Store the document and return its new version; raise :class:`StoreError`."""
        return self._put(self._document, text)

    def write_endpoint(self, host: str) -> int:
        """Store the preferred host name and return its new version; raise :class:`StoreError`."""
        return self._put(self._endpoint, host)

    def _put(self, name: str, value: str) -> int:
        try:
            return self._client.put_parameter(Name=name, Value=value, Type="String", Overwrite=True)[
                "Version"
            ]
        except FAILURES as error:
            raise StoreError(f"writing {name} failed", code_of(error)) from None
