"""Clients of AWS's services, a lab's or AWS's own: one factory with short limits, for each Region.

A client is made once and may be used by several threads. boto3 is imported with the first one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from beacon.aws.sigv4 import Credentials
from beacon_cli.fleet import Fleet

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_route53 import Route53Client
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

__all__ = ["GLOBAL_REGION", "Sessions"]

#: Where Route 53 is signed for, and where its metrics are.
GLOBAL_REGION = "us-east-1"
#: The limits of a call: an operator waits for a screen, or for a deployment.
_LOOK = {"connect_timeout": 1, "read_timeout": 2, "attempts": 2}
_PATIENT = {"connect_timeout": 5, "read_timeout": 20, "attempts": 4}


class Sessions:
    """The clients for ``fleet``; ``profile`` replaces that of the file.

    A call of the usual kind ends within about 6 s; ``patient`` ones wait longer, for commands that change
    something. Making a client raises botocore's errors, such as ``ProfileNotFound``.
    """

    def __init__(self, fleet: Fleet, profile: str | None = None, *, patient: bool = False) -> None:
        self.fleet = fleet
        self._profile = profile
        self._limits = _PATIENT if patient else _LOOK
        self._lock = threading.Lock()
        self._sessions: dict[str | None, boto3.Session] = {}
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._told: list[Callable[..., None]] = []

    def profile_of(self, region: str) -> str | None:
        """The profile that calls to ``region`` are signed with; ``None`` is the default one."""
        own = next((site.profile for site in self.fleet.sites if site.region == region), None)
        return self._profile or own or self.fleet.sites[0].profile

    def credentials(self) -> Credentials:
        """What tokens for the database are signed with, read again at each call.

        Raises :class:`~beacon.aws.credentials.NoCredentialsError` where there are none.
        """
        from beacon.aws.credentials import NoCredentialsError  # noqa: PLC0415 - with boto3, below

        lab = self.fleet.lab
        if lab is not None:
            return Credentials(lab.access_key_id, lab.secret_access_key)
        with self._lock:
            found = self._session(self.fleet.sites[0].region).get_credentials()
        if found is None:
            raise NoCredentialsError("there are no AWS credentials")
        frozen = found.get_frozen_credentials()
        return Credentials(str(frozen.access_key), str(frozen.secret_key), frozen.token)

    def on_call(self, told: Callable[..., None]) -> None:
        """Call ``told`` with botocore's ``model`` before each call, to record what a policy must allow."""
        for client in self._clients.values():
            client.meta.events.register("before-call", told)
        self._told.append(told)

    def ssm(self, region: str) -> SSMClient:
        """Parameter Store of ``region``."""
        client: SSMClient = self._client("ssm", region)
        return client

    def cloudwatch(self, region: str) -> CloudWatchClient:
        """Metrics and alarms of ``region``."""
        client: CloudWatchClient = self._client("cloudwatch", region)
        return client

    def cloudformation(self, region: str) -> CloudFormationClient:
        """Stacks of ``region``."""
        client: CloudFormationClient = self._client("cloudformation", region)
        return client

    def functions(self, region: str) -> LambdaClient:
        """Lambda of ``region``."""
        client: LambdaClient = self._client("lambda", region)
        return client

    def dsql(self, region: str) -> Any:  # noqa: ANN401 - its stubs lack methods that this project calls
        """Aurora DSQL's own API of ``region``."""
        return self._client("dsql", region)

    def fis(self, region: str) -> Any:  # noqa: ANN401 - the project has no stubs of it
        """Fault Injection Service of ``region``."""
        return self._client("fis", region)

    def sts(self, region: str) -> STSClient:
        """STS of ``region``, which names the account and the role of the credentials."""
        client: STSClient = self._client("sts", region)
        return client

    def route53(self, *, once: bool = False) -> Route53Client:
        """Route 53, which is one for all Regions; ``once`` sends each call a single time."""
        client: Route53Client = self._client("route53", GLOBAL_REGION, once=once)
        return client

    def other(self, service: str, region: str) -> Any:  # noqa: ANN401 - any service's client
        """A service that one command alone asks, by the name that boto3 has for it."""
        return self._client(service, region)

    def _client(self, service: str, region: str, *, once: bool = False) -> Any:  # noqa: ANN401 - the methods above name the type
        from botocore.config import Config  # noqa: PLC0415 - half a second that `--help` does without

        limits = self._limits
        config = Config(
            connect_timeout=limits["connect_timeout"],
            read_timeout=limits["read_timeout"],
            retries={"total_max_attempts": 1 if once else limits["attempts"], "mode": "standard"},
            proxies={} if self.fleet.lab else None,  # a lab is on this machine
        )
        # A session of boto3 makes one client at a time.
        with self._lock:
            if (service, region, once) not in self._clients:
                url = self.fleet.lab.aws_url if self.fleet.lab else None
                made = self._session(region).client(
                    service,  # type: ignore[call-overload] # any service's
                    region_name=region,
                    endpoint_url=url,
                    config=config,
                )
                for told in self._told:
                    made.meta.events.register("before-call", told)
                self._clients[service, region, once] = made
            return self._clients[service, region, once]

    def _session(self, region: str) -> boto3.Session:
        import boto3  # noqa: PLC0415 - as above

        lab = self.fleet.lab
        profile = None if lab else self.profile_of(region)
        if profile not in self._sessions:
            self._sessions[profile] = (
                boto3.Session(
                    aws_access_key_id=lab.access_key_id, aws_secret_access_key=lab.secret_access_key
                )
                if lab
                else boto3.Session(profile_name=profile)
            )
        return self._sessions[profile]
