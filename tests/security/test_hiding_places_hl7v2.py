"""Where data could hide in HL7 v2: refused, or gone on the other side."""

from __future__ import annotations

import pytest

from tests.simulator.hiding import HIDDEN, Place, check

MSH = "MSH|^~\\&|HIS|H|EMR|H|20261124080000||ADT^A01|4711|P|2.5"
PID = "PID|1||P1^^^H||Zhang^San"
CLEAN = f"{MSH}\r{PID}\r".encode()
POLICY = {
    "hl7v2": {
        "messages": ["ADT^A01"],
        "segments": ["PID"],
        "fields": ["PID-1", "PID-3", "PID-5"],
        "unknown_fields": "strip",
    }
}
REFUSING = {"unknown_fields": "refuse"}
WORD = HIDDEN.encode()


def header(number: int) -> bytes:
    """The message with HIDDEN in a field of MSH that the clean one leaves empty."""
    fields = MSH.split("|") + [""] * 30
    fields[number - 1] = HIDDEN
    return f"{'|'.join(fields).rstrip('|')}\r{PID}\r".encode()


def pid(number: int) -> bytes:
    fields = PID.split("|") + [""] * 60
    fields[number] = HIDDEN
    return f"{MSH}\r{'|'.join(fields).rstrip('|')}\r".encode()


def overlong(text: str) -> bytes:
    """UTF-8 that spells each character in two bytes (RFC 3629, chapter 3, forbids it)."""
    return b"".join(bytes((0xC0 | ord(each) >> 6, 0x80 | ord(each) & 0x3F)) for each in text)


def tags(text: str) -> str:
    """The text in Unicode's invisible tag characters."""
    return "".join(chr(0xE0000 + ord(each)) for each in text)


IN_A_NAME = CLEAN.replace(b"Zhang", b"Zhang%s")
SPELT = "".join(f"\\X{ord(each):02X}\\" for each in HIDDEN).encode()

PLACES = [
    *(Place(f"MSH-{n}", header(n), "gone") for n in (8, *range(13, 18), *range(19, 31))),
    *(
        Place(f"MSH-{n}, refusing", header(n), ("field_not_allowed",), REFUSING)
        for n in (8, *range(13, 18), *range(19, 31))
    ),
    *(Place(f"PID-{n}", pid(n), "gone") for n in (2, 4, 39, 60)),
    Place("PID-2, refusing", pid(2), ("field_not_allowed",), REFUSING),
    Place("a segment", CLEAN + b"NTE|1||" + WORD, ("segment_not_allowed",)),
    Place("a Z-segment", CLEAN + b"ZZZ|" + WORD, ("segment_not_allowed",)),
    Place("before MSH", WORD + b"\r" + CLEAN, ("not_well_formed",)),
    Place("before MSH, after a break", b"\r\n" + WORD + CLEAN, ("not_well_formed",)),
    Place("behind the message", CLEAN + WORD, ("not_well_formed",)),
    Place("behind a frame's end", CLEAN + b"\x1c\r" + WORD, ("control_character",)),
    Place("behind a NUL", CLEAN + b"\0" + WORD, ("control_character",)),
    Place("a second message", CLEAN + CLEAN.replace(b"HIS", WORD), ("batch_not_allowed",)),
    Place("a batch's header", b"BHS|^~\\&|" + WORD + b"\r" + CLEAN, ("batch_not_allowed",)),
    Place("MSH-2", CLEAN.replace(b"^~\\&", b"^~\\&#" + WORD, 1), ("not_well_formed",)),
    Place("an escape without end", IN_A_NAME % (b"\\" + WORD), ("not_well_formed",)),
    Place("a local escape", IN_A_NAME % (b"\\Z" + WORD + b"\\"), ("not_well_formed",)),
    Place("hex that is none", IN_A_NAME % (b"\\X" + WORD + b"\\"), ("not_well_formed",)),
    Place("hex of control characters", IN_A_NAME % b"\\X00515837\\", ("control_character",)),
    Place("over-long UTF-8", IN_A_NAME % overlong(HIDDEN), ("not_decodable",)),
    Place("tag characters", IN_A_NAME % tags(HIDDEN).encode(), ("control_character",)),
    Place("UTF-16", b"\xff\xfe" + HIDDEN.encode("utf-16-le"), ("charset_not_allowed",)),
    Place("blanks behind a segment", CLEAN + b" \t \r", ("not_well_formed",)),
    Place("empty fields counted", CLEAN.replace(b"San", b"San^^&&~|||||"), "gone"),
    Place("line ends as bits", CLEAN.replace(b"\r", b"\n\r\r\n\r"), "gone"),
    Place("a byte order mark", b"\xef\xbb\xbf" + CLEAN, "gone"),
    Place("two byte order marks", b"\xef\xbb\xbf" * 2 + CLEAN, ("not_well_formed",)),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_hl7v2(place: Place) -> None:
    check(place, CLEAN, POLICY)
