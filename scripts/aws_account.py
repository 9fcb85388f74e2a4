"""AWS as `sam deploy` will meet it: the same profile and Region, and an account that is the deployment's."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from beacon_cli.configuration.samconfig import ConfigurationError, Deployment
from scripts.stack import Stored, read_stack

if TYPE_CHECKING:
    from mypy_boto3_route53 import Route53Client

__all__ = ["AccountError", "Aws", "sentence"]

# Route 53's API accepts five calls a second for the whole account.
_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})
_SECRET = re.compile(r"(/live/)[^/\s]+|(PathToken=)[^\s'\"]+")


class AccountError(Exception):
    """AWS cannot be called, or the account is not the one of the clusters; the text says which."""


class Aws:
    """The services that the guard calls, with the profile and in the Region of ``deployment``."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        try:
            self._session = boto3.Session(profile_name=deployment.profile, region_name=deployment.region)
            # If AWS_DATA_PATH is set, Session() does not check the profile, and this call does.
            self._session.get_credentials()
        except BotoCoreError as error:
            raise ConfigurationError(sentence(error)) from error

    @cached_property
    def route53(self) -> Route53Client:
        """Route 53, which is global and signed for us-east-1."""
        return self._session.client("route53", region_name="us-east-1", config=_CONFIG)

    @cached_property
    def _cloudformation(self) -> Any:  # noqa: ANN401 - its stubs are not installed
        return self._session.client("cloudformation", config=_CONFIG)

    def stack(self) -> Stored | None:
        """The deployment's stack, ``None`` if there is none yet; raise :class:`AccountError`.

        The account must be that of every cluster in DsqlClusterArns: DSQL admits only its own account.
        """
        who = self._deployment.profile or "the default profile"
        try:
            account = self._session.client("sts", config=_CONFIG).get_caller_identity()["Account"]
            stored = read_stack(self._cloudformation, self._deployment.stack_name)
        except (BotoCoreError, ClientError) as error:
            raise AccountError(
                f"AWS cannot be asked about the stack {self._deployment.stack_name}: {sentence(error)}"
            ) from error
        arns = self._deployment.parameters.get("DsqlClusterArns", "")
        wanted = {arn.split(":")[4] for arn in arns.split(",") if arn.count(":") >= 5}
        if stored is not None:
            wanted.add(stored.account)
        if others := sorted(wanted - {account}):
            raise AccountError(
                f"{who} is account {account}, and the deployment is in {', '.join(others)}."
                " Name the right profile in the file, or after --"
            )
        return stored


def sentence(error: Exception) -> str:
    """What the service or the client says, with its code, and without a path token."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        text = f"{said.get('Code', 'unknown')}: {said.get('Message') or 'no message'}"
    else:
        text = f"{type(error).__name__}: {error}"
    return _SECRET.sub(r"\1\2***", text)
