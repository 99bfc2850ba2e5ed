from __future__ import annotations

import pytest

from ferry_format.reasons import LIMIT_EXCEEDED, PERSONAL_DATA_LEFT
from validators.verdict import Accepted, Rejected
from validators.worker import wire


@pytest.mark.parametrize("size", [10, 2 * 1024 * 1024])
def test_every_kind_of_verdict_comes_back_as_it_was_whatever_its_size(size: int) -> None:
    verdicts = [
        Accepted(bytes(size), "ADT^A01", "4711", bytes(32)),
        Accepted(b"payload", "csv", None, None, PERSONAL_DATA_LEFT),
        Rejected(LIMIT_EXCEEDED, "segment 1"),
    ]
    body = wire.pack_verdicts(verdicts)[wire.LENGTH.size :]
    assert wire.unpack_verdicts(body, len(verdicts)) == verdicts
