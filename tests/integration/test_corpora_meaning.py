"""Every HL7 message of the corpora: accepted or refused as its kind says, and the same in meaning.

The judges of meaning share no code with the validator: a splitter written here from the standard's
text, and python-hl7 as a second opinion.
"""

from __future__ import annotations

import itertools
import re
import warnings
from typing import Final

import hl7
import pytest

from tests.simulator.corpora import Sample, samples
from validators.hl7v2.validator import HL7v2Validator
from validators.policy import HL7v2Policy
from validators.verdict import Accepted, Rejected

PERMISSIVE = HL7v2Policy(
    messages=("*",), segments="any", header="lax", escapes="any", fields_max=1000
)

# Valid files that are not one ER7 message, or whose separators nobody can rely on.
REFUSED_VALID: Final = {
    "batch_not_allowed": {
        "connect/batch01.hl7",
        "connect/batch03.hl7",
        "connect/samples_TestADT.txt",
        "connect/test-hl7-batch-input.txt",
        "hapi-hl7v2/Hl7V2MessageCollectionTest_L102.hl7",
        "hapi-hl7v2/Hl7V2MessageCollectionTest_L59.hl7",
        "hapi-hl7v2/Hl7V2MessageTreeTest_L60.hl7",
        "hapi-hl7v2/example_oml_o21.hl7",
        *(
            f"python-hl7/samples_L{n}.hl7"
            for n in (23, 37, 57, 75, 89, 115, 131, 147, 177, 197, 212, 227, 242, 272, 289)
        ),
    },
    "encoding_not_allowed": {
        # the XML encoding of HL7 v2: another family
        *(
            f"hapi-hl7v2/{name}.xml"
            for name in (
                "OMD_O03", "adt_a17", "critical_response_data", "ed_issue", "extracmp_xml",
                "get_ack_id", "get_version", "parse_and_encode_with_ns", "weird_message",
            )
        ),
    },
    "not_well_formed": {
        "hapi-hl7v2/EncodingCharactersTest_L14.hl7",  # MSH-2 is ~\& : three characters
        "hapi-hl7v2/ExtendedMinLowerLayerProtocolTest_L116.hl7",  # MSH-2 holds U+FFFD: damaged
        "hapi-hl7v2/ParseInvalidObx2Values_L32.hl7",  # a value in OBX-5, and no type in OBX-2
        "hl7apy/test_to_string_L49.hl7",  # the letter r separates repetitions
    },
}  # fmt: skip

# Lax files refused even by the permissive profile: MSH-2 is ^~\\& (the escape character twice).
REFUSED_LAX_COUNT: Final = 16

# Invalid files that pass, with the reason why that is right. None does: every one lacks MSH-9, is
# no message, or holds lines that are no segments.
ACCEPTED_INVALID: Final[dict[str, str]] = {}


@pytest.fixture(scope="module")
def corpus() -> list[Sample]:
    return samples("hl7v2")


def verdicts(corpus: list[Sample], kind: str) -> dict[str, Accepted | Rejected]:
    judge = HL7v2Validator(PERMISSIVE)
    return {each.name: judge.validate(each.read()) for each in corpus if each.kind == kind}


def test_every_valid_message_is_accepted(corpus: list[Sample]) -> None:
    refused: dict[str, set[str]] = {}
    for name, verdict in verdicts(corpus, "valid").items():
        if isinstance(verdict, Rejected):
            refused.setdefault(verdict.reason.code, set()).add(name)
    assert refused == REFUSED_VALID


def test_lax_messages_pass_a_lax_channel_and_no_strict_one(corpus: list[Sample]) -> None:
    found = verdicts(corpus, "lax").values()
    assert sum(isinstance(each, Rejected) for each in found) == REFUSED_LAX_COUNT
    strict = HL7v2Validator(HL7v2Policy(messages=("*",), segments="any"))
    for each in corpus:
        if each.kind == "lax":
            assert isinstance(strict.validate(each.read()), Rejected), each.name


def test_invalid_and_malicious_files_are_refused(corpus: list[Sample]) -> None:
    for kind in ("invalid", "malicious"):
        accepted = {n for n, v in verdicts(corpus, kind).items() if isinstance(v, Accepted)}
        assert accepted == set(ACCEPTED_INVALID)


def test_every_accepted_message_means_the_same(corpus: list[Sample]) -> None:
    compared = 0
    for sample in corpus:
        verdict = HL7v2Validator(PERMISSIVE).validate(sample.read())
        if isinstance(verdict, Accepted):
            assert meaning(verdict.payload) == meaning(sample.read()), sample.name
            assert HL7v2Validator(PERMISSIVE).validate(verdict.payload) == verdict, sample.name
            compared += 1
    assert compared > 500


def test_python_hl7_reads_the_same_in_both(corpus: list[Sample]) -> None:
    compared = 0
    for sample in corpus:
        verdict = HL7v2Validator(PERMISSIVE).validate(sample.read())
        if isinstance(verdict, Accepted):
            before = second_opinion(sample.read())
            assert second_opinion(verdict.payload) == before, sample.name
            compared += 1
    assert compared > 500


def test_the_judges_of_meaning_see_a_difference() -> None:
    sent = b"MSH|^~\\&|A||B\rPID|1||a^b&c~d\r"
    for old, new in (
        (b"a^b", b"ab"),
        (b"b&c", b"b^c"),
        (b"~d", b""),
        (b"||a", b"|a"),
        (b"|A", b""),
    ):
        changed = sent.replace(old, new)
        assert meaning(changed) != meaning(sent)
        assert second_opinion(changed) != second_opinion(sent)


def meaning(data: bytes) -> list[list[object]]:
    """Segments of fields of repetitions of components of subcomponents, trailing empties gone.

    Corpus files are UTF-8 or ASCII, apart from the sets that MSH-18 names by 8859/1.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    field, component, repetition, _, subcomponent = text[3:8]
    levels = (field, repetition, component, subcomponent)
    segments = [line for line in re.split("[\r\n]+", text) if line]
    header = segments[0].split(field)
    return [
        [header[1], nested(field.join(header[2:]), levels)],
        *([nested(each, levels)] for each in segments[1:]),
    ]


def nested(text: str, levels: tuple[str, ...]) -> object:
    if not levels:
        return text
    parts = [nested(each, levels[1:]) for each in text.split(levels[0])]
    while parts and parts[-1] in ("", []):
        parts.pop()
    return parts


def second_opinion(data: bytes) -> list[list[list[list[tuple[str, ...]]]]]:
    """Return python-hl7's reading, its trailing empty elements dropped.

    It takes CR only for a segment end, so the ends are folded for it first.
    """
    text = re.sub("[\r\n]+", "\r", data.decode("utf-8-sig"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parsed = hl7.parse(text.rstrip("\r"))
    return [
        trimmed(
            trimmed(trimmed(trimmed(map(str, leaves(c))) for c in leaves(r)) for r in leaves(f))
            for f in segment
        )
        for segment in parsed
    ]


def leaves(node: object) -> list[object]:
    return list(node) if isinstance(node, hl7.Container) else [node]


def trimmed(items: object) -> list[object]:
    kept = list(items)  # type: ignore[call-overload]
    empty = itertools.takewhile(lambda each: each in ("", [], [""]), reversed(kept))
    return kept[: len(kept) - len(list(empty))]
