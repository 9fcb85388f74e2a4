"""Where AWS credentials come from: the environment in Lambda, botocore's own chain elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping

from beacon.token import Credentials

__all__ = ["NoCredentialsError", "find_credentials"]


class NoCredentialsError(Exception):
    """There is nothing to sign with. It is our own fault and never says anything about an endpoint."""


def find_credentials(environment: Mapping[str, str] = os.environ) -> Credentials:
    """Return the present credentials, read anew at each call; raise :class:`NoCredentialsError`.

    Lambda puts them into the environment. Elsewhere botocore's chain is asked, which is imported only then.
    """
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if key and secret:
        return Credentials(key, secret, environment.get("AWS_SESSION_TOKEN") or None)
    if "AWS_LAMBDA_FUNCTION_NAME" in environment:
        # Asking botocore here would cost half a second to learn the same.
        raise NoCredentialsError("the execution role's credentials are missing from the environment")
    return _from_botocore()


def _from_botocore() -> Credentials:
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - heavy, and not needed in Lambda
        from botocore.session import Session  # noqa: PLC0415
    except ImportError:
        raise NoCredentialsError("no credentials in the environment, and botocore is not installed") from None
    try:
        found = Session().get_credentials()
        if found is None:
            raise NoCredentialsError("no AWS credentials found; see `aws configure list`")
        frozen = found.get_frozen_credentials()
    except BotoCoreError as error:
        raise NoCredentialsError(f"AWS credentials cannot be used: {type(error).__name__}") from None
    if not frozen.access_key or not frozen.secret_key:
        raise NoCredentialsError("the AWS credentials found are incomplete")
    return Credentials(frozen.access_key, frozen.secret_key, frozen.token)
