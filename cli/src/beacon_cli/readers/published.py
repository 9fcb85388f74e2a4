"""What a Region's own SSM holds: the document and the preferred host."""

from __future__ import annotations

from datetime import UTC, datetime

from beacon.document.form import DocumentError, Expected, parse
from beacon_cli.aws_failures import FAILURES, sentence_of
from beacon_cli.sessions import Sessions
from beacon_cli.situation.model import Fact, Known, Published, Unknown

__all__ = ["name_of", "read_published"]


def name_of(region: str) -> str:
    """What to call the source in a sentence."""
    return f"SSM of {region}"


def read_published(sessions: Sessions, region: str) -> Fact[Published]:
    """The document and the endpoint of ``region``, by the rules that every reader goes by."""
    fleet = sessions.fleet
    names = [fleet.document_parameter, fleet.endpoint_parameter]
    try:
        answer = sessions.ssm(region).get_parameters(Names=names)
    except FAILURES as error:
        return Unknown(sentence_of(error, name_of(region)))
    values = {row["Name"]: row["Value"] for row in answer["Parameters"]}
    text = values.get(fleet.document_parameter)
    if text is None:
        return Unknown(f"{name_of(region)} holds no document yet: its publisher has not written one")
    try:
        document = parse(text, Expected(fleet.service, fleet.target, region), datetime.now(UTC))
    except DocumentError as error:
        return Unknown(f"{name_of(region)} holds a document that readers ignore: {error}")
    return Known(Published(document, values.get(fleet.endpoint_parameter, "")))
