"""Turns template.yaml into CloudFormation with AWS's own SAM translator, offline.

The translator takes code from S3 only, so each local directory is replaced by an address that holds the
resource's logical id, and ``Translation.sources`` keeps the directory itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import boto3
from samtranslator.parser.parser import Parser
from samtranslator.public.exceptions import InvalidDocumentException
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

from beacon_lab.stack.document import Json, TemplateError, mapping

__all__ = ["Translation", "read_template", "translate"]

# It warns of a missing feature file, which exists inside AWS only.
logging.getLogger("samtranslator").setLevel(logging.ERROR)

_CODE = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_BUCKET = "code-by-logical-id"


@dataclass(frozen=True, slots=True)
class Translation:
    """CloudFormation, and the directories that its code stands in by the logical id of template.yaml."""

    template: dict[str, Json]
    sources: Mapping[str, Path]


def read_template(path: Path) -> dict[str, Json]:
    """template.yaml as data, intrinsic functions in their long form. Raises TemplateError."""
    return _plain(yaml_parse(path.read_text(encoding="utf-8")), str(path))


def translate(path: Path, *, region: str, parameters: Mapping[str, str]) -> Translation:
    """Translate the template at ``path`` as the transform does in ``region``. Raises TemplateError.

    The transform sees the values that were given, then the defaults. It makes a new API deployment each time
    when the template asks for that, so two translations of one template may differ in its name.
    """
    template = read_template(path)
    sources: dict[str, Path] = {}
    for logical_id, resource in mapping(template.get("Resources"), "Resources").items():
        body = mapping(resource, logical_id)
        key = _CODE.get(str(body.get("Type")))
        properties = mapping(body.setdefault("Properties", {}), logical_id)
        if key is None or not isinstance(properties.get(key), str):
            continue
        sources[logical_id] = path.resolve().parent / str(properties[key])
        properties[key] = f"s3://{_BUCKET}/{logical_id}"
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=region))
    try:
        translated = translator.translate(template, dict(parameters))
    except InvalidDocumentException as error:
        causes = "; ".join(cause.message for cause in error.causes)
        raise TemplateError(f"{path}: the SAM translator refuses it: {causes}") from error
    return Translation(_plain(translated, str(path)), sources)


def source_of(code: Json) -> str:
    """The logical id in template.yaml whose directory the translated ``Code`` or ``Content`` stands for."""
    address = mapping(code, "code")
    if address.get("S3Bucket") != _BUCKET:
        raise TemplateError(f"code comes from {address!r}, not from a local directory")
    return str(address["S3Key"])


def _plain(document: object, where: str) -> dict[str, Json]:
    # The YAML reader and the translator use dictionaries of their own; JSON has none.
    return mapping(json.loads(json.dumps(document, default=str)), where)
