"""The child process that simulates the AWS APIs: moto behind a Unix socket, quiet.

Run as ``python -m beacon_lab.aws.moto_server SOCKET``. A socket in the lab's own directory cannot be taken by
another process and is out of reach for every other user of the machine.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server


class _Quiet(WSGIRequestHandler):
    """Keeps connections open between requests, and writes no line for each."""

    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Nothing: a request's query may hold what no log should."""


def main() -> None:
    """Serve until a signal ends the process."""
    logging.disable(logging.CRITICAL)
    path = Path(sys.argv[1])
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server(f"unix://{path}", 0, application, threaded=True, request_handler=_Quiet)
    server.serve_forever()


if __name__ == "__main__":
    main()
