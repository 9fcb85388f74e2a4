"""The SSM parameters against moto's SSM, and what a store makes of a service that fails."""

import socket
from collections.abc import Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber
from moto import mock_aws

from beacon.document.store import ParameterStore, Stored, StoreError

PATH = "/orders/prod/dsql"
CANARY = "canary-7f3a"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials that belong to no account."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)


@pytest.fixture
def store(keys: None) -> Iterator[ParameterStore]:
    """A store in an account without parameters."""
    with mock_aws():
        yield ParameterStore(PATH, "us-east-1")


def test_parameters_that_do_not_exist_have_version_zero(store: ParameterStore) -> None:
    """So that the first write is the one that follows."""
    assert store.read() == Stored(None, 0, None, 0)


def test_what_is_written_is_read_with_its_version(store: ParameterStore) -> None:
    """Each put returns the version that it made, one above the last."""
    assert [store.write_document(text) for text in ("{}", "{ }", "{}")] == [1, 2, 3]
    assert [store.write_endpoint(host) for host in ("a", "b")] == [1, 2]
    assert store.read() == Stored("{}", 3, "b", 2)


def test_one_of_two_parameters_may_be_missing(store: ParameterStore) -> None:
    """A round that stopped between its writes leaves it so."""
    store.write_document("{}")
    assert store.read() == Stored("{}", 1, None, 0)


def test_the_parameters_are_plain_strings_under_the_contracts_names(store: ParameterStore) -> None:
    """Consumers read them by name, in this Region alone."""
    store.write_document("{}")
    store.write_endpoint("host")
    client = boto3.client("ssm", region_name="us-east-1")
    found = client.get_parameters(Names=[f"{PATH}/document", f"{PATH}/endpoint"])["Parameters"]
    assert {(one["Name"], one["Type"], one["Value"]) for one in found} == {
        (f"{PATH}/document", "String", "{}"),
        (f"{PATH}/endpoint", "String", "host"),
    }
    other = boto3.client("ssm", region_name="us-east-2")
    assert other.get_parameters(Names=[f"{PATH}/document"])["Parameters"] == []


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException", "InternalServerError"])
def test_a_service_error_is_its_code_and_nothing_of_its_text(keys: None, code: str) -> None:
    """Reading and both kinds of writing."""
    client = boto3.client("ssm", region_name="us-east-1")
    store = ParameterStore(PATH, "us-east-1", client)
    with Stubber(client) as stub:
        for operation in ("get_parameters", "put_parameter", "put_parameter"):
            stub.add_client_error(operation, service_error_code=code, service_message=CANARY)
        for call in (store.read, lambda: store.write_document("{}"), lambda: store.write_endpoint("a")):
            with pytest.raises(StoreError) as caught:
                call()
            assert caught.value.code == code
            assert CANARY not in str(caught.value)
            assert caught.value.__suppress_context__


def test_a_service_that_cannot_be_reached_is_a_store_error(keys: None) -> None:
    """The client's error type stands for the code."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    config = Config(connect_timeout=1, retries={"total_max_attempts": 1})
    client = boto3.client(
        "ssm", region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{port}", config=config
    )
    with pytest.raises(StoreError) as caught:
        ParameterStore(PATH, "us-east-1", client).read()
    assert caught.value.code == "EndpointConnectionError"
    assert str(port) not in str(caught.value)


def test_an_answer_that_is_not_the_services_is_a_store_error(
    keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something between us and SSM answers in its place."""
    client = boto3.client("ssm", region_name="us-east-1")

    def garbage(**_arguments: object) -> None:
        raise ResponseParserError(CANARY)

    monkeypatch.setattr(client, "get_parameters", garbage)
    with pytest.raises(StoreError) as caught:
        ParameterStore(PATH, "us-east-1", client).read()
    assert caught.value.code == "ResponseParserError"
    assert CANARY not in str(caught.value)
