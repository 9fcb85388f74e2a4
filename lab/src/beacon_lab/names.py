"""What every part of a lab calls by the same name."""

from __future__ import annotations

__all__ = ["ACCOUNT_ID"]

#: The one account of a lab, as in moto.
ACCOUNT_ID = "123456789012"
