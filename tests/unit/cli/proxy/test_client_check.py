"""SCRAM-SHA-256: the example of RFC 7677's scheme against a client of its own, and what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct

import pytest

from beacon_cli.proxy.client_check import MECHANISM, ScramServer, password_problem
from beacon_cli.proxy.wire import WireError

NONCE = "rOprNGfwEbeRWgbNEkqO"


def initial(message: str, mechanism: str = MECHANISM) -> bytes:
    return mechanism.encode() + b"\0" + struct.pack("!i", len(message)) + message.encode()


def final(first: bytes, password: str, *, header: str = "n,,", nonce: str = "") -> bytes:
    """What a client that knows ``password`` answers, by RFC 5802."""
    given = dict(part.split("=", 1) for part in first.decode().split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(given["s"]), int(given["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c={base64.b64encode(header.encode()).decode()},r={nonce or given['r']}"
    signed = f"n=,r={NONCE},{first.decode()},{without}".encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    return f"{without},p={base64.b64encode(proof).decode()}".encode()


def test_a_client_that_knows_the_password_comes_in() -> None:
    """And gets the proof that the proxy knows it, too."""
    scram = ScramServer("secret word")
    first = scram.challenge(initial(f"n,,n=,r={NONCE}"))
    assert first.decode().startswith(f"r={NONCE}")
    last = scram.verify(final(first, "secret word"))
    assert last is not None
    assert last.startswith(b"v=")


def test_a_wrong_password_and_a_short_proof_do_not() -> None:
    """None, and no exception that would tell them apart from others."""
    for answer in (final, lambda first, _: final(first, "x").rpartition(b",p=")[0] + b",p=AAAA"):
        scram = ScramServer("secret word")
        first = scram.challenge(initial(f"n,,n=,r={NONCE}"))
        assert scram.verify(answer(first, "secret words")) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        initial(f"n,,n=,r={NONCE}", "SCRAM-SHA-256-PLUS"),
        initial(f"p=tls-unique,,n=,r={NONCE}"),
        initial("n,,n="),
        initial("n,"),
        initial(f"n,,m=x,n=,r={NONCE}"),
        initial("n,,n=é,r=x"),
    ],
)
def test_what_is_no_first_message_is_refused(body: bytes) -> None:
    """Before anything is computed."""
    with pytest.raises(WireError):
        ScramServer("secret").challenge(body)


def test_an_answer_of_another_exchange_is_refused() -> None:
    """Another nonce, another header, or bytes that are no text."""
    for wrong in ({"nonce": "other"}, {"header": "y,,"}):
        scram = ScramServer("secret")
        first = scram.challenge(initial(f"n,,n=,r={NONCE}"))
        with pytest.raises(WireError):
            scram.verify(final(first, "secret", **wrong))
    with pytest.raises(WireError):
        scram.verify(b"\xff")
    with pytest.raises(WireError):
        scram.verify(final(first, "secret")[:-1] + b"!")


@pytest.mark.parametrize(("password", "usable"), [("a b~", True), ("", False), ("é", False), ("a\n", False)])
def test_a_password_is_of_printable_ascii(password: str, usable: bool) -> None:
    """Others would need a normalisation that drivers do in different ways."""
    assert (password_problem(password) == "") is usable
