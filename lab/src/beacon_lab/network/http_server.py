"""The lab's HTTP servers on loopback: how they listen, and what they log.

They log that an answer failed, and where in the code; never a word of the request. aiohttp alone would log a
request line that it cannot read, and the text of any exception. Both may hold the path's token, credentials
or a body.
"""

import logging
import traceback

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["HTTP_LOG", "listen"]

#: The ``logger`` of every aiohttp server in the lab; give it ``access_log=None`` in addition.
HTTP_LOG = logging.getLogger("beacon_lab.http")


class _WithoutWords(logging.Filter):
    """Drop what the peer did wrong; of an error of ours keep the exception's class and place."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            return False
        if error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
            record.msg, record.args = "an answer failed: %s at %s", (type(error).__name__, place)
            record.exc_info = record.exc_text = None
        return True


HTTP_LOG.addFilter(_WithoutWords())


async def listen(application: web.Application, address: str, port: int) -> web.AppRunner:
    """Serve ``application``; the caller ends it with the runner's ``cleanup``. Port 0 takes a free one.

    Raise ``OSError`` when the port is in use; nothing is left open then.
    """
    runner = web.AppRunner(application, logger=HTTP_LOG, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, address, port).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner
