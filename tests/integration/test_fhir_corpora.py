"""Every FHIR message of the corpora, under the widest policy: accepted or refused, and why.

The files are of R4, R5 and STU3; one counts as accepted if either version accepts it. What is
accepted means the same afterwards (the standard library's reader is the judge, narratives and
white space in base64 apart), and is a fixed point.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from tests.simulator.corpora import samples
from validators.fhir.validator import FhirValidator
from validators.policy import FhirPolicy
from validators.verdict import Accepted, Rejected, Verdict

WIDEST = {
    "resources": "any",
    "extensions": "any",
    "attachment_urls": "any",
    "narrative": "allow",
    "bundles": (
        *("document", "message", "collection", "batch", "transaction", "history", "searchset"),
        *("batch-response", "transaction-response"),
    ),
    "request_methods": ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
    "attachments": ("application/pdf", "image/jpeg", "image/png", "image/gif", "text/plain"),
}

# Valid files that neither version accepts, by R4's reason; what the converter wrote is counted.
REFUSED_VALID: dict[str, set[str]] = {
    "attachment_not_allowed": {
        "inferno-TwCoreIG/Bundle-bun-document-uuid-example.json",
    },
    "control_character": {
        "fhir-test-cases/validator_params-ws.json",
        "fhir-test-cases/validator_unicode-problem.json",
    },
    "element_not_allowed": {
        "inferno-TwCoreIG/Bundle-bun-document-example.json",
        "inferno-TwCoreIG/Bundle-bun-message-request-example.json",
        "inferno-TwCoreIG/Patient-pat-example.json",
        "inferno-TwCoreIG/Practitioner-pra-nurse-example.json",
        "inferno-TwCoreIG/Practitioner-pra-phc-example.json",
    },
    "field_missing": {
        "fhir-test-cases/r4_bundle-questionnaire.json",
        "fhir-test-cases/r5_explanationofbenefit-example.json",
    },
    "message_type_not_allowed": {
        "fhir-test-cases/validator_custom-resource.json",
    },
    "not_well_formed": {
        "fhir-test-cases/validator_profile-slicing-coding-bad.json",
        "fhir-test-cases/validator_profile-slicing-coding-good.json",
        "fhir-test-cases/validator_risk-assessment-probability.json",
    },
    "number_not_allowed": {
        "fhir-test-cases/r4_observation-decimal.json",
    },
    "schema_mismatch": {
        "fhir-test-cases/r5_patient-container-example.json",
        "fhir-test-cases/validator_mixed-request-canonical-targets-profile.json",
        "fhir-test-cases/validator_q-sct-r.json",
        "fhir-test-cases/validator_qr-ex.json",
        "fhir-test-cases/validator_qr-required.json",
    },
}
REFUSED_OF_THE_CONVERTER = 26


@pytest.fixture(scope="module")
def validators() -> list[FhirValidator]:
    return [
        FhirValidator(FhirPolicy.model_validate(WIDEST | {"version": version}), {})
        for version in ("R4", "R5")
    ]


def verdicts(validators: list[FhirValidator], data: bytes) -> list[Verdict]:
    return [each.validate(data) for each in validators]


def meaning(data: bytes) -> object:
    def plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {
            key: "".join(value.split()) if key == "data" and isinstance(value, str) else value
            for key, value in pairs
            if key != "div"
        }

    text = data.decode("utf-8-sig")
    return json.loads(text, object_pairs_hook=plain, parse_float=Decimal, parse_int=Decimal)


def test_valid_messages_cross_and_mean_the_same(validators: list[FhirValidator]) -> None:
    refused: dict[str, set[str]] = {}
    of_the_converter = 0
    for each in samples("fhir"):
        if each.kind != "valid":
            continue
        sent = each.read()
        judged = verdicts(validators, sent)
        for validator, verdict in zip(validators, judged, strict=True):
            if isinstance(verdict, Accepted):
                assert meaning(verdict.payload) == meaning(sent), each.name
                assert validator.validate(verdict.payload) == verdict, each.name
        first = judged[0]
        if any(isinstance(verdict, Accepted) for verdict in judged):
            continue
        assert isinstance(first, Rejected)
        if each.name.startswith("FHIR-Converter/"):
            of_the_converter += 1
        else:
            refused.setdefault(first.reason.code, set()).add(each.name)
    # Pictures from the network in narratives, STU3 and logical models, elements of another version,
    # orphaned contained resources, characters and numbers that never cross.
    assert refused == REFUSED_VALID
    # STU3 among it, and resources without what R4 and R5 require.
    assert of_the_converter == REFUSED_OF_THE_CONVERTER


def test_invalid_messages_that_cross_need_knowledge_from_outside(
    validators: list[FhirValidator],
) -> None:
    crossed = [
        each.name
        for each in samples("fhir")
        if each.kind == "invalid"
        and any(isinstance(verdict, Accepted) for verdict in verdicts(validators, each.read()))
    ]
    # Codes and displays of code systems, profiles of other sites, questionnaires, search
    # expressions: nothing that the base definitions say.
    assert len(crossed) <= 98, crossed
