"""What a failed call to AWS means, in one sentence without secrets, and the command that helps."""

from __future__ import annotations

import re

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    SSOError,
    SSOTokenLoadError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from beacon_cli.errors import FailedError, WrongUseError

__all__ = ["FAILURES", "aws_error", "sentence_of"]

#: What a client of boto3 raises when a call fails.
FAILURES = (BotoCoreError, ClientError, ResponseParserError)

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"}
_THROTTLED = {"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"}
_UNKNOWN_KEYS = {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"}
_BROKEN = {"InternalServerError", "InternalFailure", "InternalError", "ServiceUnavailable"}
_LOGIN = (SSOError, SSOTokenLoadError, TokenRetrievalError, UnauthorizedSSOTokenError)
_SILENT = (ConnectTimeoutError, ReadTimeoutError)
_MISSING = (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)
# A health check's path holds the path token.
_SECRET = re.compile(r"(/live/)[^/\s]+|(PathToken=)[^\s'\"]+")


def sentence_of(error: Exception, what: str) -> str:
    """One sentence on why ``what`` (`SSM of us-east-1`) could not be asked; fit for a screen and a log."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        return _of_code(str(said.get("Code", "unknown")), str(said.get("Message") or ""), what)
    if isinstance(error, _SILENT):
        return f"{what} does not answer"
    if isinstance(error, EndpointConnectionError):
        return f"{what} cannot be reached"
    if why := _unsigned(error):
        return f"{what} was not asked: {why}"
    return f"{what} cannot be asked: {type(error).__name__}"


def _unsigned(error: Exception) -> str:
    """Why there is nothing to sign a call with; empty where that is not the trouble."""
    if isinstance(error, _LOGIN):
        return "the AWS login has expired"
    if isinstance(error, _MISSING):
        return "there are no AWS credentials"
    if isinstance(error, ProfileNotFound):
        return f"there is no AWS profile {error.kwargs.get('profile', '')!r}"
    return ""


def _of_code(code: str, message: str, what: str) -> str:
    if code in _THROTTLED:
        return f"{what} rejects requests as too many (throttled): look again in a moment"
    if code in _EXPIRED:
        return f"{what} was not asked: the AWS session has expired"
    if code in _DENIED:
        action = re.search(r"perform:? ([a-z0-9-]+:[A-Za-z]+)", message)
        return f"{what} may not be read: your role lacks {action[1] if action else 'the permission'}"
    if code in _UNKNOWN_KEYS:
        return f"{what} does not know your credentials ({code})"
    if code in _BROKEN:
        return f"{what} fails ({code})"
    return _SECRET.sub(r"\1\2***", f"{what} answers {code}: {message}".removesuffix(": "))


def aws_error(error: Exception, what: str, profile: str | None = None) -> FailedError | WrongUseError:
    """The end of a command that cannot do without ``what``: the sentence, and the command that helps."""
    named = f" --profile {profile}" if profile else ""
    if isinstance(error, ProfileNotFound):
        return WrongUseError(f"there is no AWS profile {profile!r}", "aws configure list-profiles")
    expired = isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") in _EXPIRED
    if isinstance(error, _LOGIN) or expired:
        return WrongUseError(sentence_of(error, what), f"aws sso login{named}")
    if isinstance(error, _MISSING):
        return WrongUseError(sentence_of(error, what), f"aws configure sso{named}")
    return FailedError(sentence_of(error, what), f"aws sts get-caller-identity{named}")
