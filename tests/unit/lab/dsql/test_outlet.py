"""A slow front's way out to its client keeps the order, and ends when the connection does."""

import asyncio
from pathlib import Path

import pytest

from beacon_lab.dsql.gate import Gate, Slowness
from beacon_lab.dsql.iam_grants import IamGrants
from beacon_lab.dsql.outlet import Outlet
from beacon_lab.dsql.principals import Principals
from beacon_lab.network.pki import Authority
from beacon_lab.network.tls_channel import TlsIdentity


class Recorder(asyncio.Transport):
    """A client's end that notes what happens to it."""

    def __init__(self) -> None:
        super().__init__({"socket": self})
        self.events: list[bytes | str] = []

    def setsockopt(self, *_: int) -> None:
        """As a socket has it."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.events.append(bytes(data))

    def close(self) -> None:
        self.events.append("closed")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A front's state, with a slowness of a few milliseconds."""
    certificate = Authority.create(tmp_path).issue("host", dns=["host"])
    return Gate(
        region="us-east-1",
        host="host",
        identity=TlsIdentity(certificate),
        principals=Principals(),
        grants=IamGrants(),
        backend=tmp_path / "none",
        connection_limit_s=1,
        slowness=Slowness(5),
    )


def outcome(gate: Gate, *acts: str) -> list[bytes | str]:
    """What the client sees when two messages are sent and then `acts` happen, and time passes."""

    async def work() -> list[bytes | str]:
        outlet, client = Outlet(gate, asyncio.get_running_loop()), Recorder()
        outlet.open(client)
        outlet.send(b"one")
        outlet.send(b"two")
        for act in acts:
            getattr(outlet, act)()
        outlet.send(b"three")
        before = len(client.events)
        await asyncio.sleep(0.1)
        return [*client.events[:before], "later", *client.events[before:]]

    return asyncio.run(work())


@pytest.mark.parametrize(
    ("acts", "seen"),
    [
        ([], ["later", b"one", b"two", b"three"]),
        (["quicken"], [b"one", b"two", "later", b"three"]),
        (["freeze"], ["later"]),
    ],
)
def test_what_is_held_back_goes_out_in_order_or_not_at_all(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, acts: list[str], seen: list[bytes | str]
) -> None:
    """Late, at once when the fault ends, or never once the front is frozen."""
    monkeypatch.setattr(Recorder, "pause_reading", lambda _: None)
    assert outcome(gate, *acts) == seen


def test_nothing_follows_the_goodbye(gate: Gate) -> None:
    """What was held back when the connection ended is dropped: TLS would refuse it."""

    async def work() -> list[bytes | str]:
        outlet, client = Outlet(gate, asyncio.get_running_loop()), Recorder()
        outlet.open(client)
        outlet.send(b"one")
        outlet.finish()
        await asyncio.sleep(0.05)
        return client.events

    assert asyncio.run(work()) == ["closed"]
