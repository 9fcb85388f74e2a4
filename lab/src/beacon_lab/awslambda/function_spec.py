"""What the lab has to know of a Lambda function to run it, and of the machine to run it on."""

import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ARCHITECTURE", "FunctionSpec", "Runtime"]

#: This machine's processor by Lambda's name; ``None`` where Lambda has no functions for it.
ARCHITECTURE = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(
    platform.machine().lower()
)


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A Lambda function as its stack declares it.

    ``code_dir`` stands for /var/task and each of ``layer_dirs`` for /opt/python. ``environment`` is the
    function's own; what Lambda adds is added by the sandbox. ``reserved_concurrency`` None means the
    account's shared pool. The ``async_`` settings are those of EventInvokeConfig.
    """

    name: str
    region: str
    handler: str
    code_dir: Path
    layer_dirs: tuple[Path, ...]
    environment: Mapping[str, str]
    timeout_s: float
    memory_mb: int
    reserved_concurrency: int | None
    async_max_age_s: int
    async_max_retries: int

    def __post_init__(self) -> None:
        """Refuse what Lambda refuses, all of it in one ValueError."""
        wrong = [
            sentence
            for broken, sentence in (
                (not self.name, "it needs a name"),
                ("." not in self.handler, f"handler {self.handler!r} is not module.function"),
                (not 1 <= self.timeout_s <= 900, f"timeout {self.timeout_s} s is not within 1-900 s"),
                (not 128 <= self.memory_mb <= 10_240, f"memory {self.memory_mb} MB is not within 128-10240"),
                (
                    self.reserved_concurrency is not None and self.reserved_concurrency < 0,
                    f"reserved concurrency {self.reserved_concurrency} is negative",
                ),
                (
                    not 60 <= self.async_max_age_s <= 21_600,
                    f"maximum event age {self.async_max_age_s} s is not within 60-21600 s",
                ),
                (
                    not 0 <= self.async_max_retries <= 2,
                    f"maximum retries {self.async_max_retries} is not within 0-2",
                ),
            )
            if broken
        ]
        if wrong:
            raise ValueError(f"function {self.name!r}: {'; '.join(wrong)}")


@dataclass(frozen=True, slots=True)
class Runtime:
    """The interpreter that runs functions, and where it keeps bytecode.

    ``python`` must have awslambdaric installed. ``bytecode_dir`` is where compiled modules are
    cached. It outlives a sandbox, so that a cold start does not compile the source again. With None, only the
    .pyc files beside the code are used and none is written, as in Lambda.
    """

    python: Path = Path(sys.executable)
    bytecode_dir: Path | None = None
