"""JSON messages under an open schema and under a closed one with files."""

from __future__ import annotations

import hashlib
import json

from tests.fuzz.harness import MARK, Harness, hold, validators

_SCHEMAS = {
    "any.json": b"{}",
    "closed.json": json.dumps(
        {
            "type": "object",
            "additionalProperties": False,
            "required": ["id"],
            "properties": {
                "id": {"type": "string", "pattern": "^[A-Z0-9]{1,20}$"},
                "kind": {"type": "string", "maxLength": 40},
                "day": {"type": "string", "format": "date"},
                "fee": {"type": "number", "minimum": 0, "multipleOf": 0.01},
                "items": {"type": "array", "maxItems": 5, "uniqueItems": True},
                "pdf": {"type": ["string", "null"]},
            },
        }
    ).encode(),
}


def _policy(file: str, **more: object) -> dict[str, object]:
    sha256 = hashlib.sha256(_SCHEMAS[file]).hexdigest()
    return {"json": {"schema_file": file, "schema_sha256": sha256} | more}


_CHANNELS = validators(
    _policy("any.json"),
    _policy(
        "closed.json",
        message_type="/kind",
        control_id="/id",
        depth_max=8,
        files=[{"at": "/pdf", "types": ["application/pdf", "application/zip"]}],
    ),
    schemas=_SCHEMAS,
)


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)


def seeds() -> list[bytes]:
    lawful = {"id": "A1", "kind": "order", "day": "2026-11-24", "fee": 5.1, "items": [1, "x", {}]}
    return [
        json.dumps(lawful).encode(),
        json.dumps(lawful | {"pdf": "JVBERi0xLjc="}).encode(),
        json.dumps({"name": MARK, "list": [MARK, None, True, -0.0, 1e2, "\u4e00\\n"]}).encode(),
        b'\xef\xbb\xbf{"a": "\\u4e00\\ud840\\udc00", "b": [1.50, 2E+3, -0]}',
    ]


HARNESS = Harness(
    check,
    seeds,
    ("json_plain/", "malicious/gen_json/", "malicious/json_JSONTestSuite/"),
    rb"""
    "id": "kind": "pdf": "items": \u0000 \ud800 \uDC00 1e400 9007199254740993 -0.0 NaN
    """.split(),
)
