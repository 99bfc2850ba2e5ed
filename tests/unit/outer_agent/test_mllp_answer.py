"""Acknowledgement modes: which code, and whether the sender wants to hear it."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from ferry_format.identifiers import new_message_id
from ferry_format.reasons import Refused, Unavailable
from outer_agent.admission import Receipt
from outer_agent.sources import mllp_answer
from validators.hl7v2.acknowledgement import parse_ack

NOW_MS = 1_700_000_000_000
TAKEN = Receipt(new_message_id(NOW_MS), duplicate=False)
REPEATED = Receipt(new_message_id(NOW_MS), duplicate=True)
FOR_GOOD = Refused(reasons.SEGMENT_NOT_ALLOWED, "segment 2")
FOR_NOW = Unavailable(reasons.MEDIUM_FULL)


def header(msh_15: str = "", msh_16: str = ""):
    text = f"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|ID-1|P|2.5|||{msh_15}|{msh_16}\r"
    return mllp_answer.header_of(text.encode())


@pytest.mark.parametrize(
    ("msh_15", "mode", "codes"),
    [
        ("", "original", "AA AA AR AE"),
        ("AL", "original", "AA AA AR AE"),
        ("NE", "original", "AA AA AR AE"),
        ("", "enhanced", "CA CA CR CE"),
        ("AL", "enhanced", "CA CA CR CE"),
        ("", "auto", "AA AA AR AE"),
        ('""', "auto", "AA AA AR AE"),
        ("AL", "auto", "CA CA CR CE"),
        ("NE", "auto", "- - - -"),
        ("ER", "auto", "- - CR CE"),
        ("SU", "auto", "CA CA - -"),
        ("ER", "enhanced", "- - CR CE"),
        ("XX", "auto", "CA CA CR CE"),
    ],
)
def test_each_mode_answers_each_outcome(msh_15, mode, codes) -> None:
    found = []
    for outcome in (TAKEN, REPEATED, FOR_GOOD, FOR_NOW):
        if not mllp_answer.is_wanted(header(msh_15), outcome, mode):
            found.append("-")
            continue
        ack = parse_ack(mllp_answer.acknowledgement(header(msh_15), outcome, mode, NOW_MS))
        assert ack is not None
        assert ack.control_id == "ID-1"
        found.append(ack.code)
    assert " ".join(found) == codes


def test_an_application_acknowledgement_alone_is_asked_for_in_original_mode() -> None:
    assert not mllp_answer.is_enhanced(header("", "AL"), "auto")


@pytest.mark.parametrize(
    ("msh_15", "outcome", "expected"),
    [
        ("NE", FOR_NOW, True),
        ("SU", FOR_NOW, True),
        ("NE", FOR_GOOD, False),
        ("NE", TAKEN, False),
        ("ER", FOR_NOW, False),
        ("AL", FOR_NOW, False),
    ],
)
def test_who_does_not_want_to_be_told_to_try_again_is_hung_up_on(msh_15, outcome, expected) -> None:
    assert mllp_answer.must_hang_up(header(msh_15), outcome, "auto") == expected


def test_a_refusal_says_why_and_where() -> None:
    text = mllp_answer.acknowledgement(header(), FOR_GOOD, "original", NOW_MS).decode()
    assert "segment_not_allowed" in text
    assert "(segment 2)" in text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"PID|1\r", b"MSH", b"{}"])
def test_bytes_without_a_header_are_answered_too(content) -> None:
    answer = mllp_answer.acknowledgement(mllp_answer.header_of(content), FOR_GOOD, "auto", NOW_MS)
    ack = parse_ack(answer)
    assert ack is not None
    assert (ack.code, ack.control_id) == ("AR", "")


def test_an_answer_never_ends_its_own_frame() -> None:
    forged = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|ID\x1c-1|P|2.5\r"
    answer = mllp_answer.acknowledgement(mllp_answer.header_of(forged), TAKEN, "auto", NOW_MS)
    assert b"\x1c" not in answer
    assert b"\x0b" not in answer
