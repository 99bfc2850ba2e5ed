"""Every JSON message of the corpora, plain and FHIR: accepted, and the same in meaning.

The judge of meaning is the standard library's reader: equal values, numbers by their exact decimal
value, keys in any order. It shares no code with the validator.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal

import pytest

from tests.simulator.corpora import Sample, samples
from validators.json_schema import JsonValidator
from validators.policy import JsonPolicy
from validators.verdict import Accepted, Rejected

ANYTHING = b"{}"

# Valid files that the strict reading refuses, by reason.
REFUSED_VALID: dict[str, set[str]] = {
    # zero-width spaces and direction marks in names, made to test validators
    "control_character": {
        "fhir-test-cases/validator_params-ws.json",
        "fhir-test-cases/validator_unicode-problem.json",
    },
    # ISO 8859-1 in a file that must be UTF-8
    "not_decodable": {"FHIR-Converter/bundle.json"},
    # decimals with more digits than a double holds: checker and consumer would see two numbers
    "number_not_allowed": {"fhir-test-cases/r4_observation-decimal.json"},
}


@pytest.fixture(scope="module")
def validator() -> JsonValidator:
    digest = hashlib.sha256(ANYTHING).hexdigest()
    policy = JsonPolicy(schema_file="any.json", schema_sha256=digest)
    return JsonValidator(policy, {"any.json": ANYTHING})


def valid_json() -> list[Sample]:
    found = [*samples("json_plain"), *samples("fhir")]
    return [each for each in found if each.kind == "valid" and each.name.endswith(".json")]


def meaning(data: bytes) -> object:
    return json.loads(data.decode("utf-8-sig"), parse_float=Decimal, parse_int=Decimal)


def test_every_valid_message_is_accepted(validator: JsonValidator) -> None:
    refused: dict[str, set[str]] = {}
    for each in valid_json():
        verdict = validator.validate(each.read())
        if isinstance(verdict, Rejected):
            refused.setdefault(verdict.reason.code, set()).add(each.name)
    assert refused == REFUSED_VALID


def test_every_accepted_message_means_the_same_and_is_a_fixed_point(
    validator: JsonValidator,
) -> None:
    compared = 0
    for each in valid_json():
        verdict = validator.validate(each.read())
        if isinstance(verdict, Accepted):
            assert meaning(verdict.payload) == meaning(each.read()), each.name
            assert validator.validate(verdict.payload) == verdict, each.name
            compared += 1
    assert compared > 250


def test_a_byte_order_mark_does_not_cross(validator: JsonValidator) -> None:
    verdict = validator.validate(b"\xef\xbb\xbf{}")
    assert isinstance(verdict, Accepted)
    assert verdict.payload == b"{}"


def test_the_judge_of_meaning_sees_a_difference() -> None:
    sent = '{"a": [1, 2.50, "患"], "b": null}'.encode()
    for old, new in ((b"1", b"2"), (b"2.50", b"2.51"), (b"null", b"0"), (b'"b"', b'"c"')):
        assert meaning(sent.replace(old, new)) != meaning(sent)
    assert meaning(b'{"b": null, "a": [1.0, 2.5, "\\u60a3"]}') == meaning(sent)
