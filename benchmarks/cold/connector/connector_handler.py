"""The usual stack with AWS's connector for Aurora DSQL, which signs the token and connects."""

import json
import os
from typing import Any

import aurora_dsql_psycopg as dsql  # type: ignore[import-not-found, unused-ignore]
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters

logger = Logger(service="bench")
metrics = Metrics(namespace="Bench", service="bench")
tracer = Tracer(service="bench")
app = APIGatewayRestResolver()

_CONNECT = json.loads(os.environ["BENCH_CONNECT"])


def _host() -> str:
    # A real one calls SSM here. The comparison leaves the call out, but not the code that it loads.
    assert callable(parameters.get_parameter)
    return str(_CONNECT["host"])


@app.get(".+")
@tracer.capture_method
def health() -> dict[str, object]:
    """Connect, SELECT."""
    with dsql.connect(**{**_CONNECT, "host": _host()}, autocommit=True) as connection:
        connection.execute("SELECT 1").fetchone()
    metrics.add_metric(name="Pass", unit=MetricUnit.Count, value=1)
    logger.info("healthy")
    return {"status": "pass"}


@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - the resolver accepts any
    """Answer one request of API Gateway."""
    return app.resolve(event, context)
