"""JSON: strict parsing, the schema's word, canonical writing."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.simulator.processor_time import processor_time_below
from validators import json_text
from validators.json_schema import JsonValidator, SchemaError
from validators.policy import JsonPolicy
from validators.verdict import Accepted, Rejected

ANYTHING: dict[str, object] = {}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "id": {"type": ["string", "integer"]},
        "born": {"type": "string", "format": "date"},
        "value": {"type": "number", "maximum": 100},
        "items": {"type": "array", "items": {"type": "object", "required": ["n"]}},
        "named": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
}


def validator(schema: object = SCHEMA, **policy: object) -> JsonValidator:
    data = json.dumps(schema).encode()
    digest = hashlib.sha256(data).hexdigest()
    values = {"schema_file": "s.json", "schema_sha256": digest} | policy
    return JsonValidator(JsonPolicy.model_validate(values), {"s.json": data})


def rebuilt(text: str | bytes, schema: object = ANYTHING) -> str:
    verdict = validator(schema).validate(text if isinstance(text, bytes) else text.encode())
    assert isinstance(verdict, Accepted), verdict
    assert validator(schema).validate(verdict.payload) == verdict
    return verdict.payload.decode()


def refused(text: str | bytes, schema: object = ANYTHING, **policy: object) -> tuple[str, str]:
    data = text if isinstance(text, bytes) else text.encode()
    verdict = validator(schema, **policy).validate(data)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code, verdict.place


@pytest.mark.parametrize(
    ("sent", "becomes"),
    [
        (' { "b" : 1 , "a" : [ ] } \n', '{"a":[],"b":1}'),
        ('{"\\u60a3":"\\u8005\\/\\n\\t\\"\\\\"}', '{"患":"者/\\n\\t\\"\\\\"}'),
        ("[true,false,null,{}]", "[true,false,null,{}]"),
        ("[5.10,5.1,0.0,-0.0,1.0]", "[5.10,5.1,0.0,-0.0,1.0]"),
        ("[1e2,1E-7,1.5e+3]", "[1E+2,1E-7,1.5E+3]"),
        ("[-0,0,9007199254740991]", "[0,0,9007199254740991]"),
        ('{"\\ud83d\\ude00":1,"\uffee":2}', '{"\uffee":2,"😀":1}'),
        ('"a"', '"a"'),
    ],
)
def test_canonical_form(sent: str, becomes: str) -> None:
    assert rebuilt(sent) == becomes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"a":1}', "duplicate_key"),
        ('{"a":1,"\\u0061":2}', "duplicate_key"),
        ("[NaN]", "not_well_formed"),
        ("[-Infinity]", "not_well_formed"),
        ("[1e400]", "number_not_allowed"),
        ("[9007199254740992]", "number_not_allowed"),
        ("[-9007199254740992]", "number_not_allowed"),
        ("[1e16]", "number_not_allowed"),
        ("[0.10000000000000000001]", "number_not_allowed"),
        ("[" + "9" * 5000 + "]", "number_not_allowed"),
        ("[0." + "1" * 5000 + "]", "number_not_allowed"),
        ("[1e999999999]", "number_not_allowed"),
        ("[1e-999999999]", "number_not_allowed"),
        ('["\\ud800"]', "not_well_formed"),
        ('["\\udc00\\ud800"]', "not_well_formed"),
        ('["\\u0000"]', "control_character"),
        ('["\\u202e"]', "control_character"),
        ('["\u2066"]', "control_character"),
        ('{"\\u0007":1}', "control_character"),
        ('["\t"]', "not_well_formed"),
        ("{} {}", "not_well_formed"),
        ("{'a':1}", "not_well_formed"),
        ("[1,]", "not_well_formed"),
        ("[01]", "not_well_formed"),
        ("// a\n{}", "not_well_formed"),
        ("\ufeff\ufeff{}", "not_well_formed"),
        ("[" * 100_000, "limit_exceeded"),
        ('{"a":' * 100_000, "limit_exceeded"),
        ("[" * 65 + "]" * 65, "limit_exceeded"),
        ("", "message_empty"),
        (b'"\xd6\xd0"', "not_decodable"),
        (b"\xff\xfe{\x00}\x00", "not_decodable"),
        (b'"\xed\xa0\x80"', "not_decodable"),
    ],
)
def test_what_two_readers_could_read_in_two_ways_is_refused(text: str | bytes, reason: str) -> None:
    assert refused(text)[0] == reason


def test_depth_is_inclusive() -> None:
    assert rebuilt("[" * 64 + "]" * 64)
    assert rebuilt('{"a":' * 64 + "0" + "}" * 64)
    assert refused("[[1]]", depth_max=1) == ("limit_exceeded", "depth")


def test_the_schema_decides_and_places_name_no_data() -> None:
    assert refused('{"items":[{"n":1},{}]}', SCHEMA) == (
        "schema_mismatch",
        "$.items[1] (required)",
    )
    assert refused('{"named":{"Zhang San":"x"}}', SCHEMA) == ("schema_mismatch", "$.named.* (type)")
    assert refused('{"value":100.01}', SCHEMA) == ("schema_mismatch", "$.value (maximum)")
    assert refused('{"born":"2026-02-30"}', SCHEMA) == ("schema_mismatch", "$.born (format)")
    assert refused('{"Zhang San":1,"Zhang San":2}', SCHEMA) == ("duplicate_key", "$")
    assert refused('{"id":1,"id":2}', SCHEMA) == ("duplicate_key", "$..id")
    assert refused('{"Zhang":{"id":"\\u0001"}}', SCHEMA) == ("control_character", "$.*.id")


def test_type_and_control_id_come_from_where_the_policy_points() -> None:
    policy = {"message_type": "/head/type", "control_id": "/head/id"}
    judge = validator({}, **policy)
    verdict = judge.validate(b'{"head":{"type":"order","id":4711}}')
    assert isinstance(verdict, Accepted)
    assert (verdict.message_type, verdict.control_id) == ("order", "4711")
    assert refused('{"head":{"id":"1"}}', **policy) == ("header_incomplete", "/head/type")
    assert refused('{"head":{"type":"a b","id":"1"}}', **policy)[0] == "not_well_formed"
    assert refused('{"head":{"type":"a","id":true}}', **policy) == ("header_incomplete", "/head/id")
    assert refused('{"head":{"type":"a","id":""}}', **policy)[0] == "header_incomplete"
    assert refused('["x"]', **policy)[0] == "header_incomplete"
    constant = validator({}, message_type="lab.v1").validate(b"{}")
    assert constant == Accepted(b"{}", "lab.v1", None)


def test_verbatim_and_size() -> None:
    sent = b'{ "a": 1 }'
    verdict = validator({}, fidelity="verbatim").validate(sent)
    assert isinstance(verdict, Accepted)
    assert verdict.payload == sent
    assert refused(sent, message_bytes_max=9)[0] == "limit_exceeded"
    assert refused("[1e5]", message_bytes_max=5)[0] == "limit_exceeded"


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"$ref": "https://example.com/s.json"}, "example.com"),
        ({"$ref": "file:///etc/passwd"}, "passwd"),
        ({"format": "no-such-format"}, "format"),
        ({"type": "strin"}, "strin"),
        ({"pattern": "(?=a)b"}, "regex"),
        ({"pattern": "(a)\\1"}, "regex"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "2020-12"),
        (True, "object"),
    ],
)
def test_a_schema_that_cannot_serve_is_refused_when_loaded(schema: object, word: str) -> None:
    with pytest.raises(SchemaError, match=word):
        validator(schema)


def test_a_schema_is_the_one_that_the_policy_names() -> None:
    policy = JsonPolicy(schema_file="s.json", schema_sha256="0" * 64)
    with pytest.raises(SchemaError, match="absent"):
        JsonValidator(policy, {})
    with pytest.raises(SchemaError, match="SHA-256"):
        JsonValidator(policy, {"s.json": b"{}"})


def test_patterns_that_are_slow_elsewhere_are_not() -> None:
    text = json.dumps({"a": "a" * 200_000 + "!"})
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    assert refused(text, schema)[0] == "schema_mismatch"


def test_writing_is_what_the_standard_library_reads() -> None:
    value = json_text.parse('{"a":[1,2.50,"\u60a3\\n",true,null,{"b":{}}]}'.encode(), 10)
    assert json.loads(json_text.write(value)) == {"a": [1, 2.5, "患\n", True, None, {"b": {}}]}


BINARY_TREE = {"$ref": "#/$defs/node", "$defs": {"node": {"items": {"$ref": "#/$defs/node"}}}}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"uniqueItems": True}, "[" + ",".join(f'{{"a":[{n}]}}' for n in range(50_000)) + "]"),
        ({"uniqueItems": True}, "[" + ",".join(["[]"] * 100_000) + "]"),
        ({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}, '"' + "a" * 2_000_000 + '"'),
        ({"format": "email"}, '"' + "a@" * 1_000_000 + '"'),
        ({"format": "uri"}, '"http://' + "a/" * 1_000_000 + '"'),
        ({"$ref": "#"}, "1"),
        (BINARY_TREE, "[" * 64 + "]" * 64),
        ({"additionalProperties": False}, "{" + ",".join(f'"{n}":0' for n in range(100_000)) + "}"),
        ({"multipleOf": 0.01}, "[" + ",".join(["1e300"] * 100_000) + "]"),
    ],
)
def test_no_message_makes_a_schema_slow(schema: object, text: str) -> None:
    data = json.dumps(schema).encode()
    keys = {"schema_file": "s.json", "schema_sha256": hashlib.sha256(data).hexdigest()}
    judge = JsonValidator(JsonPolicy.model_validate(keys), {"s.json": data})
    with processor_time_below(4):
        judge.validate(text.encode())
