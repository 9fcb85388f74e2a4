"""Where credentials come from: the environment first, botocore once, and no call waits while STS is down."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest
from botocore.exceptions import ClientError, CredentialRetrievalError, ProfileNotFound

from beacon.aws.credentials import CredentialChain, NoCredentialsError, find_credentials
from beacon.aws.sigv4 import Credentials

CANARY = "canary-7f3a"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": CANARY}
IN_LAMBDA = {"AWS_LAMBDA_FUNCTION_NAME": "orders"}


def wait_until(condition: Callable[[], bool], deadline_s: float = 5.0) -> None:
    """Poll ``condition`` until it holds."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        time.sleep(0.005)


class Clock:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Frozen(NamedTuple):
    """What botocore calls frozen credentials."""

    access_key: str
    secret_key: str
    token: str | None


class Botocore:
    """Stands for botocore's session and its credentials: numbered ones, or a failure, or silence."""

    def __init__(self) -> None:
        self.sessions = self.times = 0
        self.failure: Exception | None = None
        self.found: Frozen | None = None
        self.nobody = False
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Semaphore(0)
        self.askers: set[threading.Thread] = set()

    def new_session(self) -> Botocore:
        self.sessions += 1
        return self

    def get_credentials(self) -> Botocore | None:
        self.times += 1
        number = self.times
        self.askers.add(threading.current_thread())
        self.asked.release()
        assert self.open.wait(10)
        if self.failure is not None:
            raise self.failure
        if self.found is None or self.found.access_key.startswith("key "):
            self.found = Frozen(f"key {number}", CANARY, f"token {CANARY}")
        return None if self.nobody else self

    def get_frozen_credentials(self) -> Frozen:
        assert self.found is not None
        return self.found


@pytest.fixture
def botocore(monkeypatch: pytest.MonkeyPatch) -> Iterator[Botocore]:
    """In the place of botocore's session; it hangs no longer afterwards."""
    made = Botocore()
    monkeypatch.setattr("beacon.aws.credentials._new_session", made.new_session)
    yield made
    made.open.set()
    wait_until(lambda: not renewing())


@pytest.fixture
def clock() -> Clock:
    return Clock()


def renewing() -> bool:
    return any(thread.name == "beacon-credentials" for thread in threading.enumerate())


def is_ready(chain: CredentialChain) -> bool:
    return chain.ready


@contextmanager
def taking(least_s: float, most_s: float) -> Iterator[None]:
    """What happens inside takes so long."""
    began = time.monotonic()
    yield
    assert least_s <= time.monotonic() - began < most_s


def test_the_environment_wins_and_is_read_again(botocore: Botocore) -> None:
    """Lambda puts new ones there; botocore is not asked at all."""
    environment = dict(KEYS)
    chain = CredentialChain(environment)
    assert is_ready(chain)
    assert chain() == Credentials("AKIDEXAMPLE", CANARY, None)
    environment |= {"AWS_ACCESS_KEY_ID": "AKIDNEW", "AWS_SESSION_TOKEN": "token"}
    assert chain() == find_credentials(environment) == Credentials("AKIDNEW", CANARY, "token")
    assert (botocore.sessions, botocore.times) == (0, 0)


def test_the_environment_wins_over_what_botocore_said_before(botocore: Botocore) -> None:
    """The order is the same at each call."""
    environment: dict[str, str] = {}
    chain = CredentialChain(environment)
    assert chain().access_key_id == "key 1"
    environment |= KEYS
    assert chain().access_key_id == "AKIDEXAMPLE"


@pytest.mark.parametrize("missing", KEYS)
@pytest.mark.parametrize("empty", [True, False])
def test_half_a_pair_in_the_environment_is_none(botocore: Botocore, missing: str, empty: bool) -> None:
    """An empty value is none either."""
    environment = {name: value for name, value in KEYS.items() if name != missing}
    if empty:
        environment[missing] = ""
    chain = CredentialChain(environment)
    assert not is_ready(chain)
    assert chain().access_key_id == "key 1"


def test_in_lambda_no_other_source_is_asked(botocore: Botocore) -> None:
    """Asking would cost half a second to learn the same; the call fails at once."""
    chain = CredentialChain(IN_LAMBDA)
    assert is_ready(chain)
    with pytest.raises(NoCredentialsError, match="execution role's credentials are missing"):
        chain()
    with pytest.raises(NoCredentialsError, match="execution role's credentials are missing"):
        find_credentials(IN_LAMBDA)
    assert botocore.sessions == 0


def test_botocore_is_asked_once_and_then_known(botocore: Botocore, clock: Clock) -> None:
    """With one session, for a minute."""
    chain = CredentialChain({}, clock)
    assert not is_ready(chain)
    assert chain() == Credentials("key 1", CANARY, f"token {CANARY}")
    assert is_ready(chain)
    clock.now += 59.9
    assert chain() == Credentials("key 1", CANARY, f"token {CANARY}")
    assert (botocore.sessions, botocore.times) == (1, 1)


def test_callers_that_come_together_share_the_first_question(botocore: Botocore, clock: Clock) -> None:
    """A pool opens its connections at the same time: one session, one call to STS."""
    botocore.open.clear()
    chain = CredentialChain({}, clock)
    found: list[str] = []
    callers = [threading.Thread(target=lambda: found.append(chain().access_key_id)) for _ in range(8)]
    for caller in callers:
        caller.start()
    assert botocore.asked.acquire(timeout=5)
    assert not botocore.asked.acquire(timeout=0.1)
    botocore.open.set()
    for caller in callers:
        caller.join(5)
    assert found == ["key 1"] * 8
    assert (botocore.sessions, botocore.times) == (1, 1)


def test_after_a_minute_botocore_is_asked_in_the_background(botocore: Botocore, clock: Clock) -> None:
    """By one thread, while callers continue with the known ones; then they get what it found."""
    chain = CredentialChain({}, clock)
    chain()
    botocore.open.clear()
    clock.now += 60
    for _ in range(5):
        with taking(0, 0.5):
            assert chain().access_key_id == "key 1"
        clock.now += 1
    assert botocore.times == 2
    botocore.open.set()
    wait_until(lambda: chain().access_key_id == "key 2")
    assert (botocore.sessions, botocore.times) == (1, 2)
    assert threading.main_thread() in botocore.askers
    assert len(botocore.askers) == 2


def test_while_sts_is_down_the_last_ones_are_used_and_no_call_waits(botocore: Botocore, clock: Clock) -> None:
    """For nine minutes, whether it fails or hangs; and beyond, since nothing better is known."""
    chain = CredentialChain({}, clock)
    chain()
    botocore.failure = CredentialRetrievalError(provider="sts", error_msg=CANARY)
    for _ in range(9):
        clock.now += 59
        with taking(0, 0.5):
            assert chain().access_key_id == "key 1"
        wait_until(lambda: not renewing())
    assert botocore.times == 9  # the first, and a renewal each time from the second minute on
    assert is_ready(chain)
    clock.now += 3600
    with taking(0, 0.5):
        assert chain().access_key_id == "key 1"
    wait_until(lambda: not renewing())
    botocore.failure = None
    clock.now += 1
    wait_until(lambda: chain().access_key_id != "key 1")


def test_a_renewal_that_fails_is_tried_again_after_a_second_and_not_at_each_call(
    botocore: Botocore, clock: Clock
) -> None:
    """A busy service does not flood STS while it is down."""
    chain = CredentialChain({}, clock)
    chain()
    botocore.failure = CredentialRetrievalError(provider="sts", error_msg=CANARY)
    clock.now += 300
    for _ in range(20):
        chain()
        wait_until(lambda: not renewing())
    assert botocore.times == 2
    clock.now += 1
    chain()
    wait_until(lambda: botocore.times == 3)


def test_after_nine_minutes_a_caller_waits_for_the_renewal(botocore: Botocore, clock: Clock) -> None:
    """What is known may be past its life: the new ones are worth a moment."""
    chain = CredentialChain({}, clock)
    chain()
    clock.now += 540
    assert not is_ready(chain)
    assert chain().access_key_id == "key 2"
    assert is_ready(chain)


def test_a_renewal_that_hangs_is_waited_for_a_second_and_once(botocore: Botocore, clock: Clock) -> None:
    """Later callers use the known ones at once: a race of three legs does not take three seconds."""
    chain = CredentialChain({}, clock)
    chain()
    botocore.open.clear()
    clock.now += 540
    with taking(0.9, 1.5):
        assert chain().access_key_id == "key 1"
    clock.now += 1
    for _ in range(3):
        with taking(0, 0.5):
            assert chain().access_key_id == "key 1"
    assert botocore.times == 2


def test_where_no_thread_can_start_the_last_ones_are_used(
    botocore: Botocore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process out of threads, or at its end."""
    chain = CredentialChain({}, clock)
    chain()
    clock.now += 540

    def cannot(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", cannot)
        assert chain().access_key_id == "key 1"
    assert chain().access_key_id == "key 2"


def fails_with(error: Exception) -> Callable[[Botocore], None]:
    def fail(botocore: Botocore) -> None:
        botocore.failure = error

    return fail


def finds(found: Frozen) -> Callable[[Botocore], None]:
    def find(botocore: Botocore) -> None:
        botocore.found = found

    return find


def finds_none(botocore: Botocore) -> None:
    botocore.nobody = True


DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": CANARY}}, "AssumeRole")


@pytest.mark.parametrize(
    ("arrange", "text"),
    [
        (finds_none, "no AWS credentials found; see `aws configure list`"),
        (finds(Frozen("", "", None)), "the AWS credentials found are incomplete"),
        (finds(Frozen("a", "", CANARY)), "the AWS credentials found are incomplete"),
        (fails_with(ProfileNotFound(profile=CANARY)), "AWS credentials cannot be used: ProfileNotFound"),
        (
            fails_with(CredentialRetrievalError(provider="process", error_msg=CANARY)),
            "AWS credentials cannot be used: CredentialRetrievalError",
        ),
        (fails_with(DENIED), "AWS credentials cannot be used: AccessDenied"),
        (fails_with(RuntimeError(CANARY)), "AWS credentials cannot be used: RuntimeError"),
    ],
    ids=["none", "empty", "half", "no such profile", "a provider fails", "denied", "expired still"],
)
def test_what_is_wrong_is_said_without_anything_of_botocores_text(
    botocore: Botocore, arrange: Callable[[Botocore], None], text: str
) -> None:
    """Each failure has one kind of exception, and the next call asks again."""
    arrange(botocore)
    chain = CredentialChain({})
    for _ in range(2):
        with pytest.raises(NoCredentialsError) as caught:
            chain()
        assert str(caught.value) == text
        assert CANARY not in repr(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert botocore.times == 2
    botocore.failure, botocore.found, botocore.nobody = None, None, False
    assert chain().access_key_id == "key 3"


def test_without_botocore_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not needed where the environment has credentials."""
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    assert CredentialChain(KEYS)().access_key_id == "AKIDEXAMPLE"
    with pytest.raises(NoCredentialsError, match="and botocore is not installed"):
        CredentialChain({})()


def test_botocores_own_chain_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real one, which finds what it always finds."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDREAL")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    expected = Credentials("AKIDREAL", CANARY, None)
    assert CredentialChain({})() == find_credentials({}) == expected


def test_nothing_secret_is_in_any_representation(botocore: Botocore) -> None:
    """Neither of the chain nor of what it returns."""
    chain = CredentialChain({})
    for shown in (chain(), CredentialChain(KEYS)(), chain, CredentialChain(KEYS)):
        for text in (repr(shown), str(shown), f"{shown}"):
            assert CANARY not in text
            assert "AKIDEXAMPLE" not in text
