"""Hostile content, from the corpora and made here: refused or harmless, and soon."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest

from tests.simulator.corpora import samples
from tests.simulator.processor_time import processor_time_below
from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Rejected, Verdict
from validators.worker import ContentSpec, WorkerPool

SECONDS_MAX: Final = 2.0
MSH = b"MSH|^~\\&|HIS|H|EMR|H|2026||ADT^A01|4711|P|2.5\r"
HL7 = ContentPolicy.model_validate({"hl7v2": {"messages": ["*"], "segments": "any"}})
ANY_SCHEMA = b"{}"
JSON = ContentPolicy.model_validate(
    {
        "json": {
            "schema_file": "any.json",
            "schema_sha256": hashlib.sha256(ANY_SCHEMA).hexdigest(),
        }
    }
)
SCHEMAS = {"any.json": ANY_SCHEMA}


def judged(policy: ContentPolicy, payload: bytes) -> Verdict:
    judge = build(policy, SCHEMAS)
    with processor_time_below(SECONDS_MAX):
        verdict = judge.validate(payload)
    if isinstance(verdict, Accepted):
        assert judge.validate(verdict.payload) == verdict
    return verdict


# Hostile to somebody further on, and well-formed HL7: the folder sink names no file after MSH-10,
# and the virus scan is a step of its own.
HOSTILE_AND_WELL_FORMED: Final = {
    "gen_hl7/control_id_traversal.hl7",
    "gen_hl7/control_id_windows.hl7",
}
LAX_AND_ACCEPTED: Final = {
    "gen_hl7/bare_ampersand.hl7",  # & separates subcomponents: legal, if not meant
    "gen_hl7/charset_no_msh18_utf8.hl7",  # the channel's default
    "gen_hl7/charset_utf8_bom.hl7",
}


def test_hostile_hl7_of_the_corpora() -> None:
    accepted = set()
    expected = set(HOSTILE_AND_WELL_FORMED | LAX_AND_ACCEPTED)
    for sample in samples("malicious"):
        if not sample.name.startswith("gen_hl7/"):
            continue
        if sample.kind == "valid":
            expected.add(sample.name)
        if isinstance(judged(HL7, sample.read()), Accepted):
            accepted.add(sample.name)
    assert accepted == expected


@pytest.mark.parametrize("folder", ["gen_mllp/", "gen_text/", "text_cjkencodings/", "gen_msgpack/"])
def test_what_is_no_message_at_all_is_refused(folder: str) -> None:
    for sample in samples("malicious"):
        if sample.name.startswith(folder):
            for policy in (HL7, JSON):
                verdict = judged(policy, sample.read())
                name = sample.name
                # A bare HL7 text with line-separator traps and a lone digit are what they are.
                assert isinstance(verdict, Rejected) or name in WELL_FORMED_ELSEWHERE, name


WELL_FORMED_ELSEWHERE: Final[set[str]] = set()

# JSONTestSuite's y_ files that this gate refuses all the same, each for a rule of json_text.
REFUSED_WITH_REASON: Final = {
    "y_number.json": "number_not_allowed",  # 123e65
    "y_number_double_close_to_zero.json": "number_not_allowed",  # 80 characters
    "y_number_real_capital_e.json": "number_not_allowed",  # 1E22
    "y_number_real_exponent.json": "number_not_allowed",
    "y_number_real_fraction_exponent.json": "number_not_allowed",
    "y_object_extreme_numbers.json": "number_not_allowed",
    "y_object_duplicated_key.json": "duplicate_key",
    "y_object_duplicated_key_and_value.json": "duplicate_key",
    "y_object_escaped_null_in_key.json": "control_character",
    "y_string_allowed_escapes.json": "control_character",  # \b, \f
    "y_string_escaped_control_character.json": "control_character",
    "y_string_escaped_noncharacter.json": "control_character",
    "y_string_last_surrogates_1_and_2.json": "control_character",
    "y_string_nonCharacterInUTF-8_U+10FFFF.json": "control_character",
    "y_string_nonCharacterInUTF-8_U+FFFF.json": "control_character",
    "y_string_null_escape.json": "control_character",
    "y_string_u+2028_line_sep.json": "control_character",
    "y_string_u+2029_par_sep.json": "control_character",
    "y_string_unescaped_char_delete.json": "control_character",
    "y_string_unicode_U+10FFFE_nonchar.json": "control_character",
    "y_string_unicode_U+1FFFE_nonchar.json": "control_character",
    "y_string_unicode_U+200B_ZERO_WIDTH_SPACE.json": "control_character",
    "y_string_unicode_U+2064_invisible_plus.json": "control_character",
    "y_string_unicode_U+FDD0_nonchar.json": "control_character",
    "y_string_unicode_U+FFFE_nonchar.json": "control_character",
    "y_string_with_del_character.json": "control_character",
}


def test_the_json_test_suite() -> None:
    refused = {}
    for sample in samples("malicious"):
        if not sample.name.startswith("json_JSONTestSuite/"):
            continue
        name = sample.path.name
        verdict = judged(JSON, sample.read())
        if name.startswith("n_"):
            assert isinstance(verdict, Rejected), name
        elif name.startswith("y_") and isinstance(verdict, Rejected):
            refused[name] = verdict.reason.code
    assert refused == REFUSED_WITH_REASON


# Whether these keys and values may stand in a message is the schema's word, and a closed schema
# (additionalProperties: false) refuses all but the attachments' content.
LEFT_TO_THE_SCHEMA: Final = {
    "gen_json/case_keys.json",
    "gen_json/fhir_attachment_eicar.json",
    "gen_json/fhir_attachment_url.json",
    "gen_json/many_keys_50000.json",
    "gen_json/proto.json",
}
# Genuine FHIR files begin with a byte order mark too; it is taken off, so it does not cross.
NEUTRALISED: Final = {"gen_json/bom_utf8.json"}


def test_hostile_json_of_the_corpora() -> None:
    found = [each for each in samples("malicious") if each.name.startswith("gen_json/")]
    accepted = {each.name for each in found if isinstance(judged(JSON, each.read()), Accepted)}
    assert accepted == LEFT_TO_THE_SCHEMA | NEUTRALISED


MEGABYTE = 1 << 20
BOMBS = {
    "fields": MSH + b"NTE" + b"|" * MEGABYTE,
    "segments": MSH + b"NTE\r" * (MEGABYTE // 4),
    "blank segments": MSH + b"\r" * MEGABYTE,
    "repetitions": MSH + b"NTE|" + b"~" * MEGABYTE,
    "components": MSH + b"NTE|" + b"^" * MEGABYTE,
    "subcomponents": MSH + b"NTE|" + b"a&" * (MEGABYTE // 2),
    "trailing subcomponents": MSH + b"NTE|" + b"&" * MEGABYTE,
    "escapes": MSH + b"NTE|" + b"\\F\\" * (MEGABYTE // 3),
    "open escapes": MSH + b"NTE|" + b"\\" * (MEGABYTE + 1),
    "one hexadecimal escape": MSH + b"NTE|\\X" + b"41" * (MEGABYTE // 2) + b"\\",
    "one line": b"MSH|^~\\&" + b"|x" * MEGABYTE,
    "no line end, chinese": b"MSH|^~\\&|" + "患".encode() * MEGABYTE,
    "line ends": b"\r\n" * MEGABYTE,
    "json arrays": b"[" + b"[]," * (MEGABYTE // 3) + b"[]]",
    "json open": b'[{"a":' * (MEGABYTE // 6),
    "json strings": b"[" + b'"a",' * (MEGABYTE // 4) + b"1]",
    "json backslashes": b'"' + b"\\\\" * (MEGABYTE // 2) + b'"',
    "json digits": b"[" + b"1" * MEGABYTE + b"]",
    "json fraction": b"[0." + b"1" * MEGABYTE + b"]",
    "json numbers": b"[" + b"1.5," * (MEGABYTE // 4) + b"1]",
    "json keys": b"{" + b",".join(b'"%d":0' % n for n in range(80_000)) + b"}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_megabyte_of_anything_is_judged_in_time(name: str) -> None:
    judged(JSON if name.startswith("json") else HL7, BOMBS[name])


def test_a_hostile_batch_in_a_real_worker_harms_no_neighbour() -> None:
    specs = {"adt": ContentSpec(HL7), "orders": ContentSpec(JSON, SCHEMAS)}
    with WorkerPool(specs, deadline_s=5) as pool:
        items = []
        for name, payload in BOMBS.items():
            items += [("orders" if name.startswith("json") else "adt", payload), ("adt", MSH)]
        verdicts = pool.validate_many(items)
        assert all(isinstance(each, Accepted) for each in verdicts[1::2])
