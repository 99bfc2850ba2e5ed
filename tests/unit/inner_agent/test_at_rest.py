from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferry_format import keys, reasons
from ferry_format.keys import KeyKind
from ferry_format.reasons import Refused, StorageFault
from inner_agent.at_rest import OVERHEAD_BYTES, PayloadCipher, Purpose

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
MESSAGE_ID = b"m" * 16


@given(st.binary(max_size=2000), st.binary(min_size=16, max_size=32))
def test_what_was_sealed_comes_back(payload, subject):
    cipher = PayloadCipher(KEY)
    sealed = cipher.seal(subject, payload)
    assert len(sealed) == len(payload) + OVERHEAD_BYTES
    assert cipher.unseal(subject, sealed) == payload


def test_the_same_payload_is_never_sealed_to_the_same_bytes():
    cipher = PayloadCipher(KEY)
    assert len({cipher.seal(MESSAGE_ID, b"same") for _ in range(100)}) == 100


def test_no_flipped_bit_and_no_truncation_opens():
    cipher = PayloadCipher(KEY)
    sealed = cipher.seal(MESSAGE_ID, b"payload")
    broken = [
        sealed[:at] + bytes((sealed[at] ^ (1 << bit),)) + sealed[at + 1 :]
        for at in range(len(sealed))
        for bit in range(8)
    ]
    broken += [sealed[:length] for length in range(len(sealed))]
    for data in broken:
        with pytest.raises(StorageFault) as caught:
            cipher.unseal(MESSAGE_ID, data)
        assert caught.value.reason is reasons.STORAGE_FAILED


def test_a_payload_does_not_open_in_another_messages_place_or_for_another_purpose():
    cipher = PayloadCipher(KEY)
    sealed = cipher.seal(MESSAGE_ID, b"payload")
    with pytest.raises(StorageFault):
        cipher.unseal(b"n" * 16, sealed)
    with pytest.raises(StorageFault):
        cipher.unseal(MESSAGE_ID, sealed, Purpose.QUARANTINE)


def test_after_a_rotation_old_payloads_open_and_new_ones_take_the_new_key():
    before = PayloadCipher(KEY).seal(MESSAGE_ID, b"old")
    rotated = PayloadCipher(OTHER_KEY, KEY)
    after = rotated.seal(MESSAGE_ID, b"new")
    assert rotated.unseal(MESSAGE_ID, before) == b"old"
    assert PayloadCipher(OTHER_KEY).unseal(MESSAGE_ID, after) == b"new"
    with pytest.raises(StorageFault):
        PayloadCipher(KEY).unseal(MESSAGE_ID, after)


def test_a_key_of_another_length_is_refused():
    with pytest.raises(Refused):
        PayloadCipher(b"k" * 31)


def test_the_key_comes_from_a_key_file_that_only_its_owner_can_read(tmp_path):
    key = keys.generate(KeyKind.JOURNAL, "journal-1", datetime.now(UTC))
    path = tmp_path / "journal.key"
    path.write_text(keys.private_text(key))
    path.chmod(0o600)
    cipher = PayloadCipher.from_key_file(path)
    assert PayloadCipher(key.private).unseal(MESSAGE_ID, cipher.seal(MESSAGE_ID, b"x")) == b"x"
    path.chmod(0o644)
    with pytest.raises(Refused) as caught:
        PayloadCipher.from_key_file(path)
    assert caught.value.reason is reasons.KEY_FILE_EXPOSED


def test_a_key_of_another_kind_is_no_journal_key(tmp_path):
    key = keys.generate(KeyKind.SIGN, "front-1", datetime.now(UTC))
    path = tmp_path / "sign.key"
    path.write_text(keys.private_text(key))
    path.chmod(0o600)
    with pytest.raises(Refused) as caught:
        PayloadCipher.from_key_file(path)
    assert caught.value.reason is reasons.BAD_KEY_FILE
