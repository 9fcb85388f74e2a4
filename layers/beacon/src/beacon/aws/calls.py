"""What calls to AWS have in common: short limits, and failures that come down to a code."""

from __future__ import annotations

from typing import Final

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

__all__ = ["CONFIG", "FAILURES", "code_of"]

#: A round must end within its minute, whatever a service does: at most about 5 s a call.
CONFIG: Final = Config(
    connect_timeout=1, read_timeout=2, retries={"total_max_attempts": 2, "mode": "standard"}
)

#: What a client raises. The last is for an answer that is not the service's; it derives from neither.
FAILURES: Final = (BotoCoreError, ClientError, ResponseParserError)


def code_of(error: Exception) -> str:
    """The service's error code, or the type of the client's own error; never an error's text."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__
