"""What to wait for at a connection's descriptor: it can be read, it can be written, or it has ended."""

from __future__ import annotations

import select
from typing import Final

__all__ = ["READABLE", "WRITABLE"]

READABLE: Final = select.POLLIN | select.POLLHUP | select.POLLERR
WRITABLE: Final = select.POLLOUT | select.POLLHUP | select.POLLERR
