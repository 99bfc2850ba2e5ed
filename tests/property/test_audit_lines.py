"""A record's line, put together by hand, is the one encoding that a reader accepts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ferry_runtime import audit_format

numbers = st.floats(allow_nan=False, allow_infinity=False)
plain = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), numbers)
fields = st.dictionaries(st.text(), plain | st.lists(plain, max_size=3), max_size=8)
events = st.text().filter(lambda event: event != audit_format.CHECKPOINT)


@given(st.integers(1), st.integers(0, 4_000_000_000_000), st.text(), events, fields)
def test_a_record_is_read_back_as_it_was_written(
    n: int, at_ms: int, agent: str, event: str, fields: dict[str, object]
) -> None:
    line = audit_format.plain_line(
        n=n, at_ms=at_ms, agent=agent, event=event, prev="0" * 64, fields=fields
    )
    # parse_line encodes what it read once more, as JSON's encoder does, and compares.
    record = audit_format.parse_line(line)
    assert (record.n, record.agent, record.event) == (n, agent, event)
    assert record.fields == fields
