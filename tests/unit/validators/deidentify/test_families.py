"""Where each family keeps personal data, and how a channel changes single places."""

from __future__ import annotations

import json
from datetime import date
from hashlib import sha256
from typing import Any

import pytest

from ferry_format.reasons import (
    ATTACHMENT_NOT_ALLOWED,
    ELEMENT_NOT_ALLOWED,
    PATIENT_UNKNOWN,
    PERSONAL_DATA_LEFT,
    Reason,
)
from tests.simulator.deidentified import CDA, FHIR, HL7, KEY, channel, crossed
from tests.simulator.personal_data import cda_document
from validators.deidentify.deidentifier import Deidentifier
from validators.deidentify.keyed import Keyed
from validators.verdict import Accepted, Rejected

KEYED = Keyed(KEY)
MSH = "MSH|^~\\&|LIS|LAB|HIS|H|20260301||ORU^R01|4711|P|2.5\r"
PID = "PID|1||P1^5^M10^H^MR||Zhang^San||19690302\r"
IDENTITY = "11010519491231002X"
SCHEMA = b"{}"


def refused(made: Deidentifier, payload: str) -> tuple[Reason, str]:
    verdict = made.validate(payload.encode())
    assert isinstance(verdict, Rejected)
    return verdict.reason, verdict.place


def place(at: str, holds: str) -> dict[str, str]:
    return {"at": at, "holds": holds}


def json_channel(*places: dict[str, str], **policy: Any) -> Deidentifier:
    content = {"json": {"schema_file": "s", "schema_sha256": sha256(SCHEMA).hexdigest()}}
    return channel(content, schemas={"s": SCHEMA}, places=list(places), **policy)


# --- HL7 v2


def test_hl7_keeps_what_says_nothing_of_the_person() -> None:
    observation = "OBX|1|NM|WBC^white cells^L||6.2|10*9/L|3.5-9.5|N|||F"
    text = crossed(channel(HL7), f"{MSH}{PID}{observation}\r")
    assert observation in text
    assert f"|{KEYED.pseudonym('P1')}^^^H^MR|" in text
    assert "|1971" in text


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([place("PID-5", "keep")], "|Zhang^San\r"),
        ([place("PID-5.1", "keep")], "|Zhang\r"),
        ([place("PID-7", "remove")], "MR\r"),
        ([place("PID-3.5", "remove")], "^^^H\r"),
    ],
)
def test_a_hl7_channel_changes_single_places(places: list[dict[str, str]], expected: str) -> None:
    made = channel(HL7, places=places, birth_dates="remove")
    assert expected in crossed(made, MSH + PID)


def test_a_site_field_crosses_as_the_channel_says() -> None:
    made = channel(HL7, places=[place("ZPI-2", "identity"), place("ZPI-3", "keep")])
    assert f"ZPI||{KEYED.pseudonym('8')}|ok" in crossed(made, f"{MSH}{PID}ZPI|gone|8|ok|gone\r")


def test_an_observed_age_is_banded() -> None:
    text = crossed(channel(HL7), f"{MSH}{PID}OBX|1|NM|30525-0^Age^LN||93|a\rOBX|2|ST|年龄||57岁\r")
    assert "||90|a" in text
    assert "||55岁" in text


def test_a_birth_date_called_a_code_is_read_all_the_same() -> None:
    made = channel(HL7)
    reason, where = refused(made, f"{MSH}{PID}OBX|1|NM|X||{IDENTITY}\r")
    assert (reason, where) == (PERSONAL_DATA_LEFT, "OBX-5: identity number")


def test_an_escaped_number_is_found() -> None:
    digits = IDENTITY.encode().hex().upper()
    reason, _ = refused(channel(HL7), f"{MSH}{PID}NTE|1||\\X{digits}\\\r")
    assert reason is PERSONAL_DATA_LEFT


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("Zhang^Wei", "\\X5A68616E67\\"),
        ("Zhang^Wei", "Zh\\H\\ang"),
        ("Zhang^Wei", "Zh\\X61\\\\X6E67\\"),
        ("Zhang^Wei", "Zhang\\.br\\Wei"),
        ("\\X5A68616E67\\^Wei", "Zhang"),
    ],
)
def test_a_name_is_found_whether_its_letters_are_escaped_or_not(name: str, note: str) -> None:
    person = PID.replace("Zhang^San", name)
    reason = refused(channel(HL7), f"{MSH}{person}OBX|1|TX|R||{note}\r")
    assert reason == (PERSONAL_DATA_LEFT, "OBX-5: name")


def test_a_text_that_stays_keeps_its_escapes() -> None:
    note = "6 \\X2D\\ 8 mmol\\S\\l"
    assert note in crossed(channel(HL7), f"{MSH}{PID}NTE|1||{note}\r")


def test_hl7_files_refuse_the_message_or_go() -> None:
    content = {"hl7v2": {**HL7["hl7v2"], "attachments": ["text/plain"]}}  # type: ignore[dict-item]
    message = f"{MSH}{PID}OBX|1|ED|R||^TEXT^plain^Base64^aGVsbG8=||||||F\r"
    assert refused(channel(content), message) == (
        ATTACHMENT_NOT_ALLOWED,
        "OBX-5: de-identification",
    )
    assert "aGVsbG8" not in crossed(channel(content, files="remove"), message)


@pytest.mark.parametrize("patients", ["", PID + PID.replace("P1", "P2")])
def test_dates_without_one_patient_are_refused_or_cut(patients: str) -> None:
    assert refused(channel(HL7), MSH + patients)[0] is PATIENT_UNKNOWN
    assert "|H|2026||" in crossed(channel(HL7, without_patient="year"), MSH + patients)
    assert "|H|202603||" in crossed(channel(HL7, dates="month"), MSH + patients)


# --- texts


def test_a_text_with_a_name_of_the_message_is_refused_blanked_or_flagged() -> None:
    message = f"{MSH}{PID}NTE|1||Mr Zhang San is well\r"
    assert refused(channel(HL7), message) == (PERSONAL_DATA_LEFT, "NTE-3: name")
    assert "NTE|1||***" in crossed(channel(HL7, leftovers="blank"), message)
    verdict = channel(HL7, leftovers="flag").validate(message.encode())
    assert isinstance(verdict, Accepted)
    assert verdict.flag is PERSONAL_DATA_LEFT
    assert b"Zhang San" in verdict.payload


def test_what_a_kept_place_holds_refuses_the_message_even_where_texts_are_blanked() -> None:
    made = channel(HL7, leftovers="blank", places=[place("PID-19", "keep")])
    assert refused(made, f"{MSH}{PID[:-1]}{'|' * 12}{IDENTITY}\r") == (
        PERSONAL_DATA_LEFT,
        "identity number",
    )


# --- FHIR


def fhir(resource: dict[str, Any], **policy: Any) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(crossed(channel(FHIR, **policy), json.dumps(resource)))
    return made


OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "Heart rate"},
    "subject": {"reference": "Patient/p1", "display": "Zhang San"},
    "valueQuantity": {"value": 72, "unit": "/min"},
}


def test_references_and_ids_stay_one() -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {
                "fullUrl": "http://his/fhir/Patient/p1",
                "resource": {"resourceType": "Patient", "id": "p1", "gender": "female"},
            },
            {"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", "resource": OBSERVATION},
        ],
    }
    patient, observation = fhir(bundle)["entry"]
    pseudonym = KEYED.pseudonym("p1")
    assert patient["fullUrl"] == f"http://his/fhir/Patient/{pseudonym}"
    assert patient["resource"] == {"resourceType": "Patient", "id": pseudonym, "gender": "female"}
    assert observation["resource"]["subject"] == {"reference": f"Patient/{pseudonym}"}
    assert observation["resource"]["valueQuantity"] == {"value": 72, "unit": "/min"}
    assert observation["fullUrl"] == (
        f"urn:uuid:{KEYED.uuid('0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0')}"
    )


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/zhangsan-19800203/Organization/5",
        "https://his/Patient/zhangsan-19800203/Organization/5",
        "https://his/Patient%2Fzhangsan-19800203/Organization/5",
        "zhangsan-19800203/Organization/5",
        "ZhangSan/5",
        "ZhangSan",
    ],
)
def test_a_reference_that_says_more_than_server_type_and_id_goes(reference: str) -> None:
    patient = {"resourceType": "Patient", "active": True}
    made = fhir(patient | {"managingOrganization": {"reference": reference}})
    assert made == patient


def test_an_extension_with_an_address_of_no_value_goes() -> None:
    absent = {"extension": [{"url": "http://a", "valueCode": "unknown"}]}
    patient = {"resourceType": "Patient", "active": True}
    assert fhir(patient | {"extension": [{"_url": absent, "valueString": "x"}]}) == patient


def test_contained_resources_are_still_named() -> None:
    resource = {
        **OBSERVATION,
        "subject": {"reference": "#me"},
        "contained": [{"resourceType": "Patient", "id": "me", "active": True}],
    }
    made = fhir(resource)
    assert made["subject"]["reference"] == f"#{made['contained'][0]['id']}"


def test_a_reference_that_is_a_name_alone_keeps_a_blank_one() -> None:
    made = fhir({**OBSERVATION, "performer": [{"display": "Dr Li Lei"}]})
    assert made["performer"] == [{"display": "***"}]


def test_only_named_extensions_cross() -> None:
    extensions = [{"url": "http://a", "valueString": "x"}, {"url": "http://b", "valueString": "y"}]
    patient = {"resourceType": "Patient", "extension": extensions}
    assert fhir(patient, places=[place("http://a", "keep")])["extension"] == extensions[:1]
    with_modifier = {**OBSERVATION, "modifierExtension": extensions[:1]}
    assert refused(channel(FHIR), json.dumps(with_modifier))[0] is ELEMENT_NOT_ALLOWED


def test_an_age_is_banded_and_stays_a_number() -> None:
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p1"},
        "onsetAge": {"value": 93, "unit": "a", "system": "http://unitsofmeasure.org", "code": "a"},
    }
    assert fhir(condition)["onsetAge"]["value"] == 90


def test_a_fhir_channel_changes_single_places() -> None:
    patient = {"resourceType": "Patient", "name": [{"family": "Zhang", "given": ["San"]}]}
    kept = fhir(patient, places=[place("Patient.name.family", "keep")])
    assert kept["name"] == [{"family": "Zhang"}]


def test_two_patients_in_a_message_are_refused() -> None:
    both = {
        **OBSERVATION,
        "effectiveDateTime": "2026-03-01",
        "focus": [{"reference": "Patient/p2"}],
    }
    assert refused(channel(FHIR), json.dumps(both))[0] is PATIENT_UNKNOWN


# --- CDA and XML


def test_cda_moves_times_and_leaves_values() -> None:
    body = (
        '<component><low value="3.5" unit="g/L"/><value value="20260401"/>'
        '<effectiveTime><low value="20260401"/></effectiveTime></component>'
    )
    text = crossed(channel(CDA), cda_document("P1", body))
    assert '<low unit="g/L" value="3.5">' in text
    assert '<value value="20260401">' in text
    assert '<low value="20260401">' not in text
    assert '<birthTime value="1991">' in text


def test_an_age_in_cda_is_banded() -> None:
    text = crossed(channel(CDA), cda_document("P1", '<age unit="岁" value="93"/>'))
    assert '<age unit="岁" value="90">' in text


@pytest.mark.parametrize("attribute", ["note", "xmlns:n='urn:n' n:note"])
def test_an_attribute_that_cda_does_not_have_is_looked_through(attribute: str) -> None:
    document = cda_document("P1", f'<entry {attribute}="Zhang"><name>Wei Zhang</name></entry>')
    made = channel(CDA, places=[place("/ClinicalDocument/entry/name", "name")])
    assert refused(made, document) == (PERSONAL_DATA_LEFT, "/ClinicalDocument/entry/?: name")


def test_no_place_in_xml_holds_a_name_of_the_senders() -> None:
    own = "_zhangsan_19800203"
    document = cda_document("P1", f"<{own}>{IDENTITY}</{own}>")
    reason, where = refused(channel(CDA), document)
    assert reason is PERSONAL_DATA_LEFT
    assert own not in where
    content = {"xml": {"roots": "any", "elements": "any"}}
    made = channel(content, places=[place("/o/**", "text")])
    assert refused(made, f"<o><{own}>{IDENTITY}</{own}></o>") == (
        PERSONAL_DATA_LEFT,
        "/o/?: identity number",
    )


def test_xml_crosses_by_the_paths_that_the_channel_names() -> None:
    content = {"xml": {"roots": "any", "elements": "any"}}
    message = '<o id="1"><p n="x">Zhang San</p><i><c>A</c><c>B</c></i></o>'
    places = [place("/o/p", "name"), place("/o/@id", "internal"), place("/o/i/**", "keep")]
    reason, where = refused(channel(content, places=places), message)
    assert (reason, where) == (ELEMENT_NOT_ALLOWED, "/o/p/?: de-identification")
    places.append(place("/o/p/@n", "remove"))
    text = crossed(channel(content, places=places, names="blank"), message)
    assert text == f'<o id="{KEYED.pseudonym("1")}"><p>***</p><i><c>A</c><c>B</c></i></o>'


@pytest.mark.parametrize(
    ("attribute", "crosses"),
    [
        ('xsi:type="string"', True),
        ('xsi:nil="false"', True),
        ('xsi:type="张三丰"', False),
        ('xsi:note="1980-02-03"', False),
    ],
)
def test_of_xml_schema_a_type_and_nil_cross_unnamed_and_nothing_else(
    attribute: str, *, crosses: bool
) -> None:
    content = {"xml": {"roots": "any", "elements": "any"}}
    made = channel(content, places=[place("/order/name", "name"), place("/order/code", "keep")])
    xsi = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    message = f"<order><name>张三丰</name><code {xsi} {attribute}>7</code></order>"
    assert isinstance(made.validate(message.encode()), Accepted) is crosses


# --- JSON, CSV, forms


@pytest.mark.parametrize("key", ["张三丰 1980-02-03", "张三丰", "b19800203", "x y", "ZhangSan", ""])
@pytest.mark.parametrize("value", ["1", "true", "{}"])
def test_a_json_key_that_may_be_data_refuses_the_message(key: str, value: str) -> None:
    made = json_channel(place("/name", "name"), place("/wards/*", "keep"))
    message = f'{{"name": "Zhang San", "wards": {{"{key}": {value}}}}}'
    assert "Zhang" not in refused(made, message.replace("ZhangSan", "Zhang-San"))[1]


def test_a_json_key_that_is_a_fields_name_crosses() -> None:
    made = json_channel(place("/name", "name"), place("/wards/*", "keep"), place("/床位", "keep"))
    message = '{"wards":{"ICU_2":{},"icu.beds":4,"床位":5}}'
    assert json.loads(crossed(made, message)) == {"wards": {"icu.beds": 4, "ICU_2": {}, "床位": 5}}


def test_a_json_member_whose_key_says_a_name_goes_where_texts_are_blanked() -> None:
    made = json_channel(place("/name", "name"), place("/wards/*", "keep"), leftovers="blank")
    text = crossed(made, '{"name": "Zhang San", "wards": {"Zhang-San": 4, "icu": 5}}')
    assert json.loads(text) == {"wards": {"icu": 5}}


def test_json_numbers_stay_numbers_and_lists_lose_items() -> None:
    made = json_channel(
        place("/id", "internal"),
        place("/age", "age"),
        place("/names/*", "name"),
        place("/**", "keep"),
        internal_numbers="digits",
    )
    said = json.loads(
        crossed(made, '{"id": 1234567890, "age": 93, "names": ["Li Lei"], "x": 1.50}')
    )
    assert said == {"id": int(KEYED.digits("1234567890")), "age": 90, "names": [], "x": 1.5}


def test_each_row_of_csv_is_another_patient() -> None:
    columns = [{"name": "id"}, {"name": "seen"}, {"name": "result"}]
    made = channel(
        {"csv": {"columns": columns}},
        places=[place("id", "internal"), place("seen", "date"), place("result", "text")],
        patient="id",
        dates="day-number",
    )
    text = crossed(made, "id,seen,result\r\nA,1970-01-11,ok\r\nB,1970-01-11,ok\r\n")
    first, second = (date(1970, 1, 11).toordinal() + KEYED.shift_days(each) for each in "AB")
    assert f",{first},ok\r\n" in text
    assert f",{second},ok\r\n" in text


def test_a_form_crosses_by_its_fields() -> None:
    made = channel(
        {"form": {"fields": [{"name": "name"}, {"name": "dept"}]}},
        places=[place("name", "name"), place("dept", "keep")],
    )
    assert crossed(made, "name=Li+Lei&dept=12") == "dept=12"


@pytest.mark.parametrize(
    "written",
    [
        '<name><validTime><low value="20260401"/></validTime></name>',
        '<addr><useablePeriod value="20260401"/></addr>',
        (
            '<value xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="IVL_TS">'
            '<low value="20260401"/></value>'
        ),
        '<value xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="TS" value="20260401"/>',
        '<sdtc:deceasedTime xmlns:sdtc="urn:hl7-org:sdtc" value="20260401"/>',
    ],
)
def test_times_of_cda_move_wherever_they_stand(written: str) -> None:
    text = crossed(channel(CDA), cda_document("P1", f"<component>{written}</component>"))
    assert "20260401" not in text


def test_an_observed_age_in_fhir_is_banded() -> None:
    coded = {"coding": [{"system": "http://loinc.org", "code": "30525-0"}]}
    quantity = {"value": 57, "unit": "a"}
    made = fhir({**OBSERVATION, "code": coded, "valueQuantity": quantity})
    assert made["valueQuantity"]["value"] == 55


def test_what_was_not_flagged_refuses_a_flagged_message() -> None:
    made = channel(HL7, leftovers="flag", places=[place("PID-19", "keep")])
    message = f"{MSH}{PID[:-1]}{'|' * 12}{IDENTITY}\rNTE|1||Zhang San\r"
    assert refused(made, message)[0] is PERSONAL_DATA_LEFT


def test_the_patients_own_number_in_a_text_is_found() -> None:
    pid = PID.replace("P1", "ZY0012345")
    message = f"{MSH}{pid}NTE|1||created for MRN: zy0012345.\r"
    assert refused(channel(HL7), message) == (PERSONAL_DATA_LEFT, "NTE-3: number")
    kept = channel(HL7, leftovers="blank", places=[place("PID-18", "keep")])
    assert refused(kept, f"{MSH}{pid[:-1]}{'|' * 11}ZY0012345\r") == (PERSONAL_DATA_LEFT, "number")
