"""Pseudonyms and date shifts: stable under one key, unlinkable under another."""

from __future__ import annotations

import re
from uuid import UUID

import pytest

from validators.deidentify.identity_numbers import is_identity_number
from validators.deidentify.keyed import Keyed

ONE, OTHER = Keyed(bytes(32)), Keyed(bytes([1]) * 32)
IDENTITY = "11010519491231002X"


def test_a_number_has_one_pseudonym_however_it_is_spelt() -> None:
    spellings = [
        IDENTITY,
        f" {IDENTITY} ",
        IDENTITY.lower(),
        "１１０１０５１９４９１２３１００２Ｘ",
    ]
    assert len({ONE.pseudonym(each) for each in spellings}) == 1
    assert len({ONE.digits(each) for each in spellings}) == 1


def test_a_pseudonym_is_sixteen_letters_and_digits() -> None:
    assert re.fullmatch(r"[A-Z2-7]{16}", ONE.pseudonym("ZY010000001234"))


def test_another_key_gives_other_pseudonyms_digits_uids_and_shifts() -> None:
    for make in ("pseudonym", "digits", "uid", "uuid"):
        assert getattr(ONE, make)(IDENTITY) != getattr(OTHER, make)(IDENTITY)
    patients = [f"P{number}" for number in range(50)]
    assert [ONE.shift_days(each) for each in patients] != [
        OTHER.shift_days(each) for each in patients
    ]


def test_letters_of_other_numbers_keep_their_case() -> None:
    assert ONE.pseudonym("ab12") != ONE.pseudonym("AB12")


def test_digits_keep_the_length_and_are_no_personal_number() -> None:
    for number in range(2000):
        written = ONE.digits(f"110105194912{number:06}")
        assert re.fullmatch(r"[1-9][0-9]{17}", written)
        assert not is_identity_number(written)
        mobile = ONE.digits(f"1380000{number:04}")
        assert re.fullmatch(r"[1-9][0-9]{10}", mobile)
        assert not re.match(r"1[3-9]", mobile)


def test_a_replaced_identity_number_keeps_neither_birth_date_nor_region() -> None:
    kept = [
        number
        for number in range(200)
        if ONE.digits(f"11010519491231{number:04}")[6:14] == "19491231"
        or ONE.digits(f"11010519491231{number:04}")[:6] == "110105"
    ]
    assert kept == []


def test_a_uid_is_a_dicom_uid() -> None:
    uid = ONE.uid("1.2.840.113619.2.55.3")
    assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", uid)
    assert len(uid) <= 44


def test_a_uuid_is_of_version_8() -> None:
    assert UUID(ONE.uuid("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0")).version == 8


def test_shifts_cover_a_year_both_ways_and_are_never_zero() -> None:
    shifts = {ONE.shift_days(f"P{number}") for number in range(20_000)}
    assert 0 not in shifts
    assert (min(shifts), max(shifts)) == (-365, 365)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Keyed(bytes(31))
