"""What holds for every patient and date: intervals survive, one key is one, two keys are two."""

from __future__ import annotations

import io
import json
import re
from datetime import date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread

from tests.simulator.deidentified import (
    CDA,
    FHIR,
    HL7,
    KEY,
    OTHER_KEY,
    channel,
    crossed,
    dicom_channel,
    instance,
)
from tests.simulator.dicom_files import ct
from tests.simulator.personal_data import cda_document
from validators.deidentify.dates import shifted
from validators.deidentify.identity_numbers import is_identity_number
from validators.deidentify.keyed import Keyed
from validators.deidentify.leftovers import kinds_in
from validators.verdict import Accepted

PATIENTS = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=20)
KEYS = st.binary(min_size=32, max_size=32)
DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))
MOMENTS = st.datetimes(
    datetime(1900, 1, 1),  # noqa: DTZ001 - most dates of HL7 have no zone
    datetime(2100, 12, 31),  # noqa: DTZ001 - likewise
).map(lambda moment: moment.replace(microsecond=0))
MESSAGE = (
    "MSH|^~\\&|A|B|C|D|{sent}||ORU^R01|1|P|2.5\rPID|1||{patient}^^^H\rOBX|1|TS|X||{seen}||||||F\r"
)


@given(PATIENTS, KEYS, DAYS, DAYS)
def test_intervals_between_days_survive(patient: str, key: bytes, one: date, other: date) -> None:
    days = Keyed(key).shift_days(patient)
    moved = [shifted(each.isoformat(), days) for each in (one, other)]
    assert None not in moved
    first, second = (date.fromisoformat(str(each)) for each in moved)
    assert second - first == other - one
    assert first - one == timedelta(days)
    assert 1 <= abs(days) <= 365


@given(MOMENTS, st.sampled_from(["%Y%m%d%H%M%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%d%H%M", "%Y-%m-%d"]))
def test_time_and_precision_survive(moment: datetime, form: str) -> None:
    assert shifted(moment.strftime(form), 100) == (moment + timedelta(100)).strftime(form)


@given(PATIENTS, MOMENTS, MOMENTS)
def test_intervals_survive_in_a_message(patient: str, sent: datetime, seen: datetime) -> None:
    form = "%Y%m%d%H%M%S"
    text = MESSAGE.format(patient=patient, sent=sent.strftime(form), seen=seen.strftime(form))
    first, second = re.findall(r"[|]([0-9]{14})(?=[|])", crossed(channel(HL7), text))
    moved = [datetime.strptime(each, form) for each in (first, second)]  # noqa: DTZ007 - likewise
    assert moved[1] - moved[0] == seen - sent


@given(PATIENTS, KEYS)
def test_one_key_gives_one_pseudonym(patient: str, key: bytes) -> None:
    one, again = Keyed(key), Keyed(bytes(key))
    for make in ("pseudonym", "uid", "uuid", "shift_days"):
        assert getattr(one, make)(patient) == getattr(again, make)(patient)


@given(PATIENTS, KEYS, KEYS)
def test_two_keys_link_nothing(patient: str, key: bytes, other: bytes) -> None:
    if key == other:
        return
    one, another = Keyed(key), Keyed(other)
    for make in ("pseudonym", "uid", "uuid"):
        assert getattr(one, make)(patient) != getattr(another, make)(patient)


@given(st.text("0123456789X", min_size=5, max_size=20))
def test_replaced_numbers_look_like_nobodys(number: str) -> None:
    keyed = Keyed(KEY)
    for replaced in (keyed.pseudonym(number), keyed.digits(number)):
        assert kinds_in(replaced) == ()
        assert not is_identity_number(replaced)


def test_one_person_has_one_pseudonym_in_every_family() -> None:
    number = "ZY0012345678"
    hl7 = crossed(channel(HL7), MESSAGE.format(patient=number, sent="20260101", seen="20260102"))
    patient = json.dumps({"resourceType": "Patient", "identifier": [{"value": number}]})
    fhir = crossed(channel(FHIR), patient)
    cda = crossed(channel(CDA), cda_document(patient=number))
    pseudonym = Keyed(KEY).pseudonym(number)
    assert all(pseudonym in text for text in (hl7, fhir, cda))
    other = crossed(channel(FHIR, OTHER_KEY), patient)
    assert pseudonym not in other


def test_de_identified_messages_are_a_fixed_point_of_their_validator() -> None:
    made = channel(HL7)
    text = crossed(made, MESSAGE.format(patient="P1", sent="20260101", seen="20260102"))
    again = made._validator.validate(text.encode())
    assert isinstance(again, Accepted)
    assert again.payload.decode() == text


def images(key: bytes, *sent: bytes) -> list[Dataset]:
    made = dicom_channel(key)
    return [dcmread(io.BytesIO(instance(made, each))) for each in sent]


@settings(max_examples=20, deadline=None)
@given(st.text("0123456789ABC", min_size=1, max_size=16), MOMENTS, MOMENTS)
def test_intervals_between_instances_survive(number: str, one: datetime, other: datetime) -> None:
    form = "%Y%m%d%H%M%S"
    sent = [
        ct(
            PatientID=number,
            StudyDate=each.strftime("%Y%m%d"),
            StudyTime=each.strftime("%H%M%S"),
            AcquisitionDateTime=each.strftime(form) + ".123456+0800",
        )
        for each in (one, other)
    ]
    first, second = images(KEY, *sent)
    studies = [
        datetime.strptime(each.StudyDate + each.StudyTime, form)  # noqa: DTZ007 - no zone
        for each in (first, second)
    ]
    assert studies[1] - studies[0] == other - one
    assert first.AcquisitionDateTime == f"{studies[0].strftime(form)}.123456+0800"


@settings(max_examples=20, deadline=None)
@given(st.text("0123456789ABC", min_size=1, max_size=16), KEYS, KEYS)
def test_one_key_gives_one_image_and_two_keys_link_none(
    number: str, key: bytes, other: bytes
) -> None:
    sent = ct(PatientID=number, AccessionNumber=number)
    one, again = images(key, sent, sent)
    assert one == again
    assert one.PatientID == one.AccessionNumber == Keyed(key).pseudonym(number)
    if key == other:
        return
    (another,) = images(other, sent)
    for name in ("PatientID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        assert one[name].value != another[name].value
