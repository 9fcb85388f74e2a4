"""The two AWS APIs that a client may call, SSM GetParameters and STS AssumeRoleWithWebIdentity, on loopback.

They can become silent: they accept calls and never answer, the worst that an API can do to a caller.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["AwsApis", "aws_apis"]

#: Shorter than botocore accepts: with it, botocore would call STS at each use of the credentials.
_LIFE = timedelta(minutes=14)
_ASSUMED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{key}</AccessKeyId>
<SecretAccessKey>{secret}</SecretAccessKey><SessionToken></SessionToken>
<Expiration>{until}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


class AwsApis:
    """The APIs: their answers, whether they are silent, and how often each was called."""

    def __init__(self, document: str, keys: tuple[str, str]) -> None:
        self.document = document
        self.keys = keys
        self.silent = threading.Event()
        self.over = threading.Event()
        self.calls = {"ssm": 0, "sts": 0}
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, or hold it until the end."""
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        is_ssm = "AmazonSSM" in handler.headers.get("x-amz-target", "")
        self.calls["ssm" if is_ssm else "sts"] += 1
        if self.silent.is_set():
            self.over.wait()
            return
        if is_ssm:
            name = json.loads(body)["Names"][0]
            found = {"Name": name, "Type": "String", "Value": self.document, "Version": 1}
            text, kind = json.dumps({"Parameters": [found], "InvalidParameters": []}), "x-amz-json-1.1"
        else:
            until = (datetime.now(UTC) + _LIFE).isoformat(timespec="seconds").replace("+00:00", "Z")
            text, kind = _ASSUMED.format(key=self.keys[0], secret=self.keys[1], until=until), "xml"
        handler.send_response(200)
        handler.send_header("content-type", f"application/{kind}" if is_ssm else "text/xml")
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text.encode())


@contextlib.contextmanager
def aws_apis(document: str, keys: tuple[str, str]) -> Iterator[AwsApis]:
    """The APIs on a free port, for the time of the context."""
    apis = AwsApis(document, keys)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            apis.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    apis.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield apis
    finally:
        apis.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
