"""Contents for inputs that nobody thought of: one encoding each, and nothing but refusals."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from ferry_format import envelope
from ferry_format.reasons import Refused
from tests.simulator.lawful_contents import contents, every_width, plaintexts


@given(contents())
@example(every_width())
def test_each_content_has_one_encoding_which_decodes_to_it(content: envelope.Content) -> None:
    assert envelope.decode(envelope.encode(content)) == content


@given(plaintexts() | st.binary(max_size=400))
def test_whatever_decodes_encodes_to_the_same_bytes_and_all_else_is_refused(data: bytes) -> None:
    try:
        content = envelope.decode(data)
    except Refused:
        return
    assert envelope.encode(content) == data


@given(contents(), st.data())
def test_no_two_encodings_decode_to_one_content(
    content: envelope.Content, data: st.DataObject
) -> None:
    encoded = envelope.encode(content)
    at = data.draw(st.integers(0, len(encoded) - 1))
    other = encoded[:at] + bytes((data.draw(st.integers(0, 255)),)) + encoded[at + 1 :]
    try:
        decoded = envelope.decode(other)
    except Refused:
        return
    assert (decoded == content) == (other == encoded)
