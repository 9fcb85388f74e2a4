"""The settings of one lab, and the names that follow from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beacon.names import TARGET, service_name

__all__ = ["POLICIES", "LabSettings"]

POLICIES = ("failover", "latency", "weighted", "none")


@dataclass(frozen=True, slots=True)
class LabSettings:
    """A lab's options; ``speed`` divides the intervals of checks and schedules, ports 0 are any free ones.

    ``state_dir`` is ``None`` for a lab that is not to be found by the other commands.
    """

    policy: str = "failover"
    speed: float = 1.0
    built: bool = False
    #: Whether no stack is deployed and the database is empty, as in an account before the first deployment.
    empty: bool = False
    state_dir: Path | None = None
    ready_file: Path | None = None
    aws_port: int = 0
    dns_port: int = 0
    control_port: int = 0
    app: str = "orders"
    env: str = "lab"
    zone: str = "orders.example"
    record_name: str = "db.orders.example"
    regions: tuple[str, ...] = ("us-east-1", "us-east-2")
    #: What the checks and the publisher go by.
    request_interval_s: int = 10
    failure_threshold: int = 3
    probe_deadline_ms: int = 1000
    publish_every_s: int = 60
    fall: int = 5
    rise: int = 2
    failback_hold_s: int = 90
    #: One machine is no Region: more sandboxes at a time than this only make each other slow.
    health_concurrency: int = 6

    @property
    def service(self) -> str:
        """The deployment's name."""
        return service_name(self.app, self.env)

    @property
    def endpoint_parameter(self) -> str:
        """The SSM parameter that holds the preferred host."""
        return f"/{self.app}/{self.env}/{TARGET}/endpoint"

    @property
    def document_parameter(self) -> str:
        """The SSM parameter that holds the document."""
        return f"/{self.app}/{self.env}/{TARGET}/document"
