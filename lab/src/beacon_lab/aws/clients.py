"""Clients of the lab's AWS APIs: boto3's, aimed at the lab's endpoint URL with the lab's own access key."""

from __future__ import annotations

from typing import Any, Protocol

import boto3
from botocore.config import Config

__all__ = ["AccessKey", "api_client"]


class AccessKey(Protocol):
    """The key that signs a client's requests; a principal of the cluster is one."""

    @property
    def access_key_id(self) -> str:
        """The key's public part."""

    @property
    def secret_access_key(self) -> str:
        """The key's secret part."""


def api_client(
    service: str,
    region: str,
    endpoint_url: str,
    key: AccessKey,
    **config: Any,  # noqa: ANN401 - botocore.config.Config's own keywords
) -> Any:  # noqa: ANN401 - boto3's clients have no common type
    """A client of one service in one Region; the caller closes it. ``config`` is botocore's."""
    return boto3.client(
        service,  # type: ignore[call-overload] # a plain str, where the stubs want each literal
        region_name=region,
        endpoint_url=endpoint_url,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        # No proxy, whatever the environment says: the lab is on this machine.
        config=Config(**config, proxies={}),
    )
