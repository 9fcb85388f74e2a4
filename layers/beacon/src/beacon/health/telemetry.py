"""Structured log lines and CloudWatch embedded metrics (EMF), one JSON object a line on standard output.

Small on purpose: it is on the path of a cold start. Only reason codes, states and numbers are ever passed in.
Source of the metric format: CloudWatch User Guide, "Embedded metric format specification".
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

from beacon.names import NAMESPACE

__all__ = ["Telemetry"]


class Telemetry:
    """Writes for one function of one Region; ``dimensions`` go with every metric."""

    def __init__(self, dimensions: Mapping[str, str]) -> None:
        self._dimensions = dict(dimensions)

    def log(self, level: str, message: str, **fields: object) -> None:
        """Write one structured line."""
        self._write({"level": level, "message": message, **self._dimensions, **fields})

    def count(self, metrics: Mapping[str, float], unit: str = "Count", **dimensions: str) -> None:
        """Write ``metrics`` in one EMF line, by the usual dimensions and also by those with ``dimensions``.

        CloudWatch adds nothing up over a dimension. Without the first set no alarm could see the sum.
        """
        names = {**self._dimensions, **dimensions}
        sets = [list(self._dimensions), list(names)] if dimensions else [list(names)]
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": sets,
            "Metrics": [{"Name": name, "Unit": unit} for name in metrics],
        }
        aws = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}
        self._write({"_aws": aws, **names, **metrics})

    def _write(self, record: Mapping[str, object]) -> None:
        # A log that cannot be written must not change an answer.
        with suppress(OSError, ValueError):
            sys.stdout.write(json.dumps(record, separators=(",", ":")) + "\n")
