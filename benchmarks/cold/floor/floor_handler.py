"""The floor: nothing but psycopg, a connection with a token that was signed beforehand, and a SELECT."""

import json
import os

import psycopg

_CONNECT = json.loads(os.environ["BENCH_CONNECT"])


def handler(_event: object, _context: object) -> dict[str, object]:
    """Connect, SELECT, answer."""
    with psycopg.connect(**_CONNECT, password=os.environ["BENCH_TOKEN"], autocommit=True) as connection:
        connection.execute("SELECT 1").fetchone()
    return {"statusCode": 200, "body": '{"status":"pass"}'}
