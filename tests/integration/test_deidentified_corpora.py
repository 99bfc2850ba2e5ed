"""Real messages of the corpora: none ends a worker, no long name or number of theirs is left."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.simulator.corpora import samples
from tests.simulator.deidentified import channel
from validators.deidentify.slots import Part
from validators.verdict import Accepted

PERMISSIVE: dict[str, dict[str, Any]] = {
    "hl7v2": {
        "hl7v2": {
            "messages": ["*"],
            "segments": "any",
            "header": "lax",
            "escapes": "any",
            "default_charset": "ISO-8859-1",
        }
    },
    "fhir": {
        "fhir": {
            "version": "R4",
            "resources": "any",
            "narrative": "allow",
            "extensions": "any",
            "attachment_urls": "any",
        }
    },
    "cda": {"xml": {"roots": "any", "elements": "any", "cda": {"documents": "any"}}},
}
CHARS_MIN = 8


def traces(part: Part) -> list[str]:
    """What is long enough to be nobody else's: names, identity numbers, numbers of patients."""
    named = [slot.value for slot in part.slots if slot.kind in {"name", "identity"}]
    numbers = [each for each in part.patients if any(map(str.isdigit, each))]
    return [each for each in [*named, *numbers] if len(each.strip()) >= CHARS_MIN]


@pytest.mark.parametrize("family", PERMISSIVE)
def test_nothing_long_of_a_person_is_left(family: str) -> None:
    made = channel(PERMISSIVE[family], leftovers="blank", files="remove", without_patient="year")
    crossed = 0
    leaks = []
    for sample in samples(family):
        judged = made._validator.validate(sample.read())
        verdict = made.validate(sample.read())
        if not isinstance(judged, Accepted) or not isinstance(verdict, Accepted):
            continue
        crossed += 1
        words = re.split(r"[^\w.-]+", made._text_of(verdict.payload))
        parts = made._family.open(judged.payload).parts
        leaks += [sample.name for part in parts for each in traces(part) if each in words]
    assert crossed >= {"hl7v2": 500, "fhir": 250, "cda": 10}[family]
    assert leaks == []
