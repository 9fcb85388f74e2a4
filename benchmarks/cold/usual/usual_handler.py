"""The usual stack: Powertools for everything, the token from a boto3 client, a connection per request."""

import json
import os
from typing import Any

import boto3
import psycopg
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
    """Sign, connect, SELECT."""
    region = os.environ["AWS_REGION"]
    token = boto3.client("dsql", region_name=region).generate_db_connect_auth_token(_host(), region)
    with psycopg.connect(**_CONNECT, password=token, autocommit=True) as connection:
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
