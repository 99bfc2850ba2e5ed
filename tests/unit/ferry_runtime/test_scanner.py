"""What clamd's answers mean, and what of a message is shown to it."""

from __future__ import annotations

import base64
from urllib.parse import urlencode

import pytest

from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.scanner import clamd
from ferry_runtime.scanner.pieces import PIECES_MAX, pieces

FILE = bytes(range(200))


def failure(reply: bytes) -> FerryError:
    with pytest.raises(FerryError) as caught:
        clamd.check(reply)
    return caught.value


def test_only_the_exact_word_lets_pass() -> None:
    clamd.check(b"stream: OK\0")
    for reply in (
        b"",
        b"\0",
        b"OK\0",
        b"stream: OK FOUND?\0",
        b"stream: ok\0",
        b"1: stream: OK\0",
        b"stream: Can't allocate memory ERROR\0",
        b"UNKNOWN COMMAND\0",
    ):
        error = failure(reply)
        assert isinstance(error, Unavailable), reply
        assert error.reason.code == "scanner_unavailable"


def test_a_find_is_named_and_the_name_holds_no_data() -> None:
    error = failure(b"stream: Win.Test.EICAR_HDB-1 FOUND\0")
    assert isinstance(error, Refused)
    assert (error.reason.code, error.where) == ("virus_found", "Win.Test.EICAR_HDB-1")
    assert failure("stream: 张三\r\n FOUND\0".encode()).where == "_"
    assert len(failure(b"stream: " + b"x" * 1000 + b" FOUND\0").where) == 80


def test_what_is_too_long_for_clamd_is_refused_and_not_tried_for_ever() -> None:
    error = failure(b"INSTREAM size limit exceeded. ERROR\0")
    assert isinstance(error, Refused)
    assert error.reason.code == "limit_exceeded"


def test_chunks_hold_all_bytes_and_each_says_its_length() -> None:
    data = bytes(600 * 1024)
    sent = b"".join(clamd.chunks(data))
    seen = b""
    while sent:
        size = int.from_bytes(sent[:4], "big")
        seen, sent = seen + sent[4 : 4 + size], sent[4 + size :]
    assert seen == data
    assert list(clamd.chunks(b"")) == []


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_files_in_base64_and_hex_are_shown_decoded(cut: int) -> None:
    file = FILE[: len(FILE) - cut]
    digits = base64.b64encode(file)
    for message in (
        b'{"pdf": "' + digits + b'"}',
        b"OBX|1|ED|||a^b^c^Base64^" + digits + b"|",
        b"<text>" + digits + b"</text>",
    ):
        assert pieces(message)[0] == message
        assert file in pieces(message)
    for spelt in (file.hex().upper(), file.hex()):
        assert file in pieces(b"^Hex^" + spelt.encode() + b"|")


@pytest.mark.parametrize("spelt", [base64.b64encode(FILE), base64.encodebytes(FILE), FILE])
def test_a_forms_fields_are_shown_decoded_and_the_files_in_them_too(spelt: bytes) -> None:
    message = b"id=4711&" + urlencode({"note": spelt}).encode()
    assert pieces(message)[0] == message
    assert spelt in pieces(message)
    assert FILE in pieces(message)


def test_short_fields_of_a_form_are_no_files() -> None:
    message = b"id=4711&name=%E5%BC%A0%E4%B8%89"
    assert pieces(message) == [message]


def test_short_words_are_no_files() -> None:
    message = b'{"id": "0123456789abcdef0123456789abcdef", "name": "Zhang"}'
    assert pieces(message) == [message]


def test_more_files_than_can_be_scanned_are_refused() -> None:
    run = b"A" * 64 + b" "
    assert len(pieces(run * (PIECES_MAX // 2 - 1))) <= PIECES_MAX
    with pytest.raises(Refused, match="limit_exceeded"):
        pieces(run * PIECES_MAX)
