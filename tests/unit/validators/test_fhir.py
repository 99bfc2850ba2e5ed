"""FHIR: what is accepted, what it becomes, what is refused and where."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import stat
import zipfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.processor_time import processor_time_below
from validators.fhir import files, model, primitives
from validators.fhir.validator import FhirValidator
from validators.json_schema import SchemaError
from validators.policy import FhirPolicy
from validators.verdict import Accepted, Rejected

Json = dict[str, Any]
PATIENT: Json = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"family": "王", "given": ["芳"]}],
    "birthDate": "1980-02-29",
    "contact": [{"name": {"text": "李"}, "telecom": [{"system": "phone", "value": "1"}]}],
}
OBSERVATION: Json = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"text": "glucose"},
    "valueQuantity": {"value": 5.1, "unit": "mmol/l"},
}


def validator(**policy: object) -> FhirValidator:
    return FhirValidator(
        FhirPolicy.model_validate({"version": "R4", "resources": "any"} | policy), {}
    )


def judged(message: Json, **policy: object) -> Accepted | Rejected:
    verdict = validator(**policy).validate(json.dumps(message).encode())
    if isinstance(verdict, Accepted):
        assert validator(**policy).validate(verdict.payload) == verdict
    return verdict


def rebuilt(message: Json, **policy: object) -> Any:
    verdict = judged(message, **policy)
    assert isinstance(verdict, Accepted), verdict
    return json.loads(verdict.payload)


def refused(message: Json, **policy: object) -> tuple[str, str]:
    verdict = judged(message, **policy)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code, verdict.place


def with_file(data: bytes, declared: str = "application/pdf") -> Json:
    photo = {"contentType": declared, "data": base64.b64encode(data).decode()}
    return PATIENT | {"photo": [photo]}


def with_link(url: str) -> Json:
    return PATIENT | {"photo": [{"contentType": "image/png", "url": url}]}


def bundle(type_: str, *entries: Json, **more: object) -> Json:
    return {"resourceType": "Bundle", "type": type_, "entry": list(entries)} | more


def test_a_lawful_resource_crosses_with_its_type_and_id() -> None:
    verdict = judged(PATIENT)
    assert isinstance(verdict, Accepted)
    assert (verdict.message_type, verdict.control_id) == ("Patient", None)
    assert json.loads(verdict.payload) == PATIENT


@pytest.mark.parametrize(
    ("change", "reason", "place"),
    [
        ({"resourceType": "Pacient"}, "message_type_not_allowed", "resourceType"),
        ({"nickname": "x"}, "element_not_allowed", "Patient.* (not known to FHIR)"),
        ({"name": {"family": "x"}}, "not_well_formed", "Patient.name: no array"),
        ({"name": []}, "schema_mismatch", "Patient.name: empty array"),
        ({"name": [{}]}, "schema_mismatch", "Patient.name[0] (ele-1)"),
        ({"name": [None]}, "not_well_formed", "Patient.name[0]: no object"),
        ({"birthDate": "1981-02-29"}, "schema_mismatch", "Patient.birthDate (date)"),
        ({"birthDate": "１980-02-28"}, "schema_mismatch", "Patient.birthDate (date)"),
        ({"gender": "m"}, "schema_mismatch", "Patient.gender (code)"),
        ({"active": "true"}, "schema_mismatch", "Patient.active (boolean)"),
        (
            {"deceasedBoolean": True, "deceasedDateTime": "2026-01-01"},
            "schema_mismatch",
            "Patient.deceased[x]: two at once",
        ),
        ({"link": [{"type": "refer"}]}, "field_missing", "Patient.link[0].other"),
        (
            {"managingOrganization": {"reference": "#o"}},
            "schema_mismatch",
            "Patient (ref-1)",
        ),
        (
            {"contained": [{"resourceType": "Organization", "id": "o"}]},
            "schema_mismatch",
            "Patient.contained (dom-3)",
        ),
        ({"_name": [{"id": "1"}]}, "element_not_allowed", "Patient.* (not known to FHIR)"),
        (
            {"identifier": [{"system": "javascript:alert(1)", "value": "1"}]},
            "schema_mismatch",
            "Patient.identifier[0].system (uri)",
        ),
        (
            {"identifier": [{"period": {"start": "2026-02-01", "end": "2026-01"}}]},
            "schema_mismatch",
            "Patient.identifier[0].period (per-1)",
        ),
    ],
)
def test_what_the_definitions_do_not_have_is_refused(change: Json, reason: str, place: str) -> None:
    assert refused(PATIENT | change) == (reason, place)


def test_a_place_never_shows_data() -> None:
    assert "secret" not in refused(PATIENT | {"secret": 1})[1]
    assert "secret" not in refused(PATIENT | {"gender": "secret"})[1]


def test_only_named_resources_cross_wherever_they_stand() -> None:
    assert refused(OBSERVATION, resources=["Patient"])[0] == "message_type_not_allowed"
    inside = bundle("collection", {"resource": OBSERVATION})
    reason, place = refused(inside, resources=["Bundle", "Patient"])
    assert (reason, place) == ("message_type_not_allowed", "Bundle.entry[0].resource")


def test_only_named_elements_cross() -> None:
    listed = {"resources": ["Patient"], "elements": ["Patient.name", "Patient.contact.telecom"]}
    assert refused(PATIENT, **listed) == ("element_not_allowed", "Patient.id")
    assert rebuilt(PATIENT, **listed, unknown_elements="strip") == {
        "resourceType": "Patient",
        "name": PATIENT["name"],
        "contact": [{"telecom": PATIENT["contact"][0]["telecom"]}],
    }


def test_a_required_element_cannot_be_stripped() -> None:
    reason, place = refused(
        OBSERVATION,
        resources=["Observation"],
        elements=["Observation.status", "Observation.valueQuantity"],
        unknown_elements="strip",
    )
    assert (reason, place) == ("field_missing", "Observation.code")


def test_what_changes_the_meaning_of_the_rest_is_never_stripped() -> None:
    request: Json = {
        "resourceType": "ServiceRequest",
        "status": "active",
        "intent": "order",
        "doNotPerform": True,
        "subject": {"display": "x"},
        "priority": "stat",
    }
    named = [f"ServiceRequest.{each}" for each in ("status", "intent", "subject")]
    whitelist = {"resources": ["ServiceRequest"], "elements": named, "unknown_elements": "strip"}
    assert refused(request, **whitelist) == ("element_not_allowed", "ServiceRequest.doNotPerform")
    del request["doNotPerform"]
    assert "priority" not in rebuilt(request, **whitelist)


@pytest.mark.parametrize(
    "path", ["Patient.nam", "Patient.value[x]", "Patient.name.family.x", "Observation.status"]
)
def test_a_whitelist_that_the_version_does_not_know_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"no element|write an element|same resources"):
        validator(resources=["Patient"], elements=[path])


def test_a_resource_of_which_nothing_may_cross_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="see Observation"):
        validator(resources=["Patient", "Observation"], elements=["Patient.name"])
    with pytest.raises(SchemaError, match="Pacient"):
        validator(resources=["Pacient"])


def test_a_patients_own_id_is_no_control_id_unless_the_channel_names_it() -> None:
    verdict = judged(PATIENT, control_id="/id")
    assert isinstance(verdict, Accepted)
    assert verdict.control_id == "p1"
    named = judged(bundle("collection", {"resource": PATIENT}, identifier={"value": "B7"}))
    assert isinstance(named, Accepted)
    assert named.control_id == "B7"


def test_a_required_element_with_extensions_alone_is_no_value() -> None:
    absent = {"extension": [{"url": "http://x", "valueCode": "unknown"}]}
    no_type: Json = {"resourceType": "Bundle", "_type": absent}
    assert refused(no_type, extensions="any") == ("element_not_allowed", "Bundle.type")
    for request in ({"_method": absent, "url": "Patient"}, {"method": "PUT", "_url": absent}):
        asks = bundle("transaction", {"resource": PATIENT, "request": request})
        reason, place = refused(asks, extensions="any", bundles=["transaction"])
        assert reason == "element_not_allowed"
        assert place.startswith("Bundle.entry[0].request")


def test_elements_are_counted_before_they_are_kept() -> None:
    many = PATIENT | {"name": [{"given": ["a"] * 50}]}
    assert refused(many, elements_max=50) == ("limit_exceeded", "more than 50 elements")
    assert rebuilt(many, elements_max=70) == many
    div = '<div xmlns="http://www.w3.org/1999/xhtml">' + "<b>x</b>" * 50 + "</div>"
    text = {"status": "generated", "div": div}
    assert refused(PATIENT | {"text": text}, narrative="allow", elements_max=70)[0] == (
        "limit_exceeded"
    )


def test_extensions_cross_by_url() -> None:
    known = {"url": "http://hospital/known", "valueString": "a"}
    other = {"url": "http://hospital/other", "extension": [{"url": "x", "valueCode": "b"}]}
    both = PATIENT | {"extension": [known, other]}
    assert refused(both)[0] == "element_not_allowed"
    assert rebuilt(both, extensions="any") == both
    listed = {"extensions": ["http://hospital/known"], "unknown_extensions": "strip"}
    assert rebuilt(both, **listed)["extension"] == [known]
    assert refused(PATIENT | {"modifierExtension": [other]}, **listed)[0] == "element_not_allowed"
    two_values = known | {"extension": [known]}
    assert refused(PATIENT | {"extension": [two_values]}, **listed)[1].endswith("(ext-1)")


def test_what_stands_beside_primitives_is_stripped_in_step() -> None:
    name = {
        "given": ["a", None, "c"],
        "_given": [None, {"extension": [{"url": "http://x", "valueString": "b"}]}, None],
    }
    sent = PATIENT | {"name": [name]}
    assert rebuilt(sent, extensions="any")["name"] == [name]
    assert rebuilt(sent, unknown_extensions="strip")["name"] == [{"given": ["a", "c"]}]


@pytest.mark.parametrize(
    "name",
    [
        {"given": [None, "a"]},
        {"given": ["a"], "_given": [None, {"id": "1"}]},
        {"given": [None], "_given": [None]},
    ],
)
def test_a_position_without_anything_is_refused(name: Json) -> None:
    assert refused(PATIENT | {"name": [name]}, extensions="any")[0] == "schema_mismatch"


def test_generated_narratives_go_and_others_are_refused() -> None:
    text = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    assert "text" not in rebuilt(PATIENT | {"text": text})
    assert refused(PATIENT | {"text": text | {"status": "additional"}})[1] == "Patient.text"
    assert refused(PATIENT | {"text": text}, narrative="refuse")[1] == "Patient.text"
    assert rebuilt(PATIENT | {"text": text}, narrative="allow")["text"] == text


@pytest.mark.parametrize(
    "inner",
    [
        "<script>x</script>",
        '<a href="javascript:x">x</a>',
        '<img src="http://x/y.png"/>',
        '<b onclick="x">x</b>',
        '<b style="background:url(http://x)">x</b>',
        "<iframe/>x",
        "&nbsp;x",
        " ",
        "<b>",
    ],
)
def test_a_narrative_holds_formatting_only(inner: str) -> None:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>'
    reason, place = refused(
        PATIENT | {"text": {"status": "generated", "div": div}}, narrative="allow"
    )
    assert reason in {"element_not_allowed", "not_well_formed"}
    assert place.startswith("Patient.text.div")


def test_a_narrative_of_thousands_of_attributes_is_refused_at_once() -> None:
    many = " ".join(f'a{number}=""' for number in range(30_000))
    div = f'<div xmlns="http://www.w3.org/1999/xhtml" {many}>x</div>'
    with processor_time_below(1):
        reason, place = refused(
            PATIENT | {"text": {"status": "generated", "div": div}}, narrative="allow"
        )
    assert (reason, place) == ("limit_exceeded", "Patient.text.div: div: more than 50 attributes")


def test_comments_and_instructions_in_a_narrative_do_not_cross() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><!--hidden--><?hid den?>x</div>'
    crossed = rebuilt(PATIENT | {"text": {"status": "generated", "div": div}}, narrative="allow")
    assert "hid" not in json.dumps(crossed)


def test_files_cross_by_their_content() -> None:
    pdf = {"attachments": ["application/pdf"]}
    assert refused(with_file(b"%PDF-1.7"))[0] == "attachment_not_allowed"
    assert rebuilt(with_file(b"%PDF-1.7"), **pdf) == with_file(b"%PDF-1.7")
    assert refused(with_file(b"MZ%PDF-"), **pdf)[0] == "attachment_not_allowed"
    assert refused(with_file(b"%PDF-1.7", "image/png"), **pdf)[0] == "attachment_not_allowed"
    assert refused(with_file(b"%PDF-" + b"x" * 9), **pdf, attachment_bytes_max=9) == (
        "limit_exceeded",
        "Patient.photo[0].data",
    )


def test_a_file_is_of_the_size_and_hash_that_it_says() -> None:
    sent = with_file(b"%PDF-1.7")
    pdf = {"attachments": ["application/pdf"]}
    right = {"size": 8, "hash": base64.b64encode(hashlib.sha1(b"%PDF-1.7").digest()).decode()}
    for change, place in (({}, None), ({"size": 9}, "size"), ({"hash": "AAAA"}, "hash")):
        message = sent | {"photo": [sent["photo"][0] | right | change]}
        if place is None:
            assert rebuilt(message, **pdf) == message
        else:
            assert refused(message, **pdf) == ("schema_mismatch", f"Patient.photo[0].{place}")


def test_no_file_hides_in_an_extension_or_a_preamble() -> None:
    value = base64.b64encode(b"MZ\x90\0").decode()
    hidden = PATIENT | {"extension": [{"url": "http://x", "valueBase64Binary": value}]}
    for attachments in ([], ["application/pdf", "text/plain"]):
        reason, place = refused(hidden, extensions="any", attachments=attachments)
        assert (reason, place) == (
            "attachment_not_allowed",
            "Patient.extension[0].valueBase64Binary",
        )
    dicom = {"attachments": ["application/dicom"]}
    clean = with_file(bytes(128) + b"DICM", "application/dicom")
    assert rebuilt(clean, **dicom) == clean
    polyglot = with_file(b"MZ".ljust(128, b"\0") + b"DICM", "application/dicom")
    assert refused(polyglot, **dicom)[0] == "attachment_not_allowed"


@pytest.mark.parametrize("data", [b"%PDF-1.7", b"\x89PNG\r\n\x1a\n", bytes(16 * 1024 + 1)])
def test_no_file_hides_where_a_signature_stands(data: bytes) -> None:
    signature = {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
        "when": "2026-11-24T08:00:00Z",
        "who": {"display": "x"},
    }
    signed = bundle("collection", signature=signature | {"data": "MEUCIQ=="})
    del signed["entry"]
    assert rebuilt(signed) == signed
    hidden = signed | {"signature": signature | {"data": base64.b64encode(data).decode()}}
    for attachments in ([], ["application/pdf", "image/png"]):
        reason, place = refused(hidden, attachments=attachments)
        assert reason in {"attachment_not_allowed", "limit_exceeded"}
        assert place == "Bundle.signature.data"


def test_a_hash_of_nothing_holds_no_file() -> None:
    hidden = PATIENT | {"photo": [{"hash": base64.b64encode(bytes(65)).decode()}]}
    assert refused(hidden) == ("limit_exceeded", "Patient.photo[0].hash")


@pytest.mark.parametrize("version", ["R4", "R5"])
def test_all_base64_of_the_definitions_is_judged(version: model.Version) -> None:
    judged_places = {(name, "data") for name in files.HOLDERS}
    judged_places |= {(name, element) for name, (element, _) in files.NO_FILES.items()}
    others = {
        (each.name, name)
        for each in model.load(version).values()
        for name, element in each.elements.items()
        if element.type == "base64Binary" and not element.group.endswith("[x]")
    }
    assert others == judged_places


@pytest.mark.parametrize(
    "reference", ["javascript:alert(1)", "data:text/html;base64,PHA+", "File:///x", "Patient/ 1"]
)
def test_a_reference_is_a_url_that_nothing_runs(reference: str) -> None:
    hidden = OBSERVATION | {"subject": {"reference": reference}}
    assert refused(hidden) == ("schema_mismatch", "Observation.subject.reference (uri)")


def test_an_elements_id_is_no_place_for_text() -> None:
    named = PATIENT | {"_birthDate": {"id": "b1"}, "name": [{"id": "n1", "text": "x"}]}
    assert rebuilt(named) == named
    for id_ in ("a hidden text", "x" * 257):
        assert refused(PATIENT | {"_birthDate": {"id": id_}})[0] == "element_not_allowed"
        assert refused(PATIENT | {"name": [{"id": id_, "text": "x"}]}) == (
            "schema_mismatch",
            "Patient.name[0].id (id of an element)",
        )


def test_base64_has_one_spelling() -> None:
    broken = with_file(b"%PDF-1.7")
    data = broken["photo"][0]["data"]
    pdf = {"attachments": ["application/pdf"]}
    broken["photo"][0]["data"] = f"{data[:4]}\n {data[4:]}"
    assert rebuilt(broken, **pdf) == with_file(b"%PDF-1.7")
    broken["photo"][0]["data"] = data.replace("c=", "d=")
    assert broken["photo"][0]["data"] != data
    assert refused(broken, **pdf)[0] == "not_well_formed"


def zipped(
    name: str | zipfile.ZipInfo,
    data: bytes,
    *,
    twice: bool = False,
    method: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
        if twice:
            archive.writestr("b", data)
    return file.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


def test_archives_are_unpacked_to_be_judged() -> None:
    zips = {"attachments": ["application/zip", "application/gzip"]}
    good = zipped("a.txt", b"hello", twice=True)
    assert rebuilt(with_file(good, "application/zip"), **zips)
    packed = gzip.compress(b"hello")
    assert rebuilt(with_file(packed, "application/gzip"), **zips)
    hostile = {
        "slip": zipped("../a", b"x"),
        "nested": zipped("a.zip", good),
        "bomb": zipped("a", bytes(70_000_000)),
        "trailing": good + b"hidden",
        "commented": good[:-2] + b"\x06\0hidden",
        "before": b"PK\x03\x04" + good,
        "unusual": zipped("a", b"x", method=zipfile.ZIP_LZMA),
        "two names": good.replace(b"a.txt", b"b.txt", 1),
        "two sizes": good[:18] + b"\1" + good[19:],
        "link": zipped(link("a.txt"), b"/etc"),
        "between": good[:36] + b"hidden" + good[36:],
    }
    for name, data in hostile.items():
        reason, _ = refused(with_file(data, "application/zip"), **zips)
        assert reason in {"attachment_not_allowed", "limit_exceeded"}, name
    for data in (
        packed + b"x",
        packed[:-1],
        gzip.compress(packed),
        gzip.compress(bytes(70_000_000)),
    ):
        reason, _ = refused(with_file(data, "application/gzip"), **zips)
        assert reason in {"attachment_not_allowed", "limit_exceeded"}


ZIP = zipped("a.txt", b"hello" * 20, twice=True)


@given(st.lists(st.tuples(st.integers(0, len(ZIP) - 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_archive_is_judged_and_never_raises(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(ZIP)
    for at, byte in changes:
        damaged[at] = byte
    judged(with_file(bytes(damaged), "application/zip"), attachments=["application/zip"])


def test_a_bundle_asks_only_for_what_the_channel_names() -> None:
    def asks(method: str, url: str) -> Json:
        return bundle(
            "transaction", {"resource": PATIENT, "request": {"method": method, "url": url}}
        )

    assert refused(asks("PUT", "Patient/p1"))[1] == "Bundle.type"
    allowed = {"bundles": ["transaction"]}
    assert rebuilt(asks("PUT", "Patient/p1"), **allowed)
    assert rebuilt(asks("PUT", "Patient?identifier=1"), **allowed)
    assert refused(asks("DELETE", "Patient/p1"), **allowed)[1].endswith("request.method")
    for url in ("http://other/Patient/p1", "../admin", "Observation/1", "Patient/../x"):
        assert refused(asks("PUT", url), **allowed)[1].endswith("request.url"), url


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("DELETE", "Observation/7"),
        ("DELETE", "Observation?patient=7"),
        ("DELETE", "/Observation"),
        ("DELETE", "?patient=7"),
    ],
)
def test_a_request_without_a_resource_is_for_a_named_type(method: str, url: str) -> None:
    allowed = {
        "bundles": ["transaction"],
        "resources": ["Bundle", "Patient"],
        "request_methods": ["PUT", "DELETE", "POST"],
    }
    asked = bundle("transaction", {"request": {"method": method, "url": url}})
    assert refused(asked, **allowed) == ("element_not_allowed", "Bundle.entry[0].request.url")
    of_a_named_type = {"request": {"method": method, "url": "Patient/7"}}
    assert rebuilt(bundle("transaction", of_a_named_type), **allowed)


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("PUT", "/Practitioner"),
        ("PUT", "/.."),
        ("PUT", "Patient/."),
        ("PUT", "Patient/..?a=b"),
        ("POST", "Patient/.."),
        ("PUT", "Patient/1/_history/.."),
    ],
)
def test_a_request_leads_nowhere_but_to_its_resources_type(method: str, url: str) -> None:
    asked = bundle("transaction", {"resource": PATIENT, "request": {"method": method, "url": url}})
    assert refused(asked, bundles=["transaction"])[1] == "Bundle.entry[0].request.url"


def test_a_bundle_is_what_its_type_demands() -> None:
    patient = {"resource": PATIENT}
    assert judged(bundle("collection", patient)).__class__ is Accepted
    for wrong in (
        bundle("message", patient),
        bundle("document", patient),
        bundle("collection", patient, total=1),
        bundle("collection", {**patient, "request": {"method": "PUT", "url": "Patient/p1"}}),
        bundle("collection", {**patient, "fullUrl": "Patient/p1"}),
        bundle(*("collection",), *[{**patient, "fullUrl": "http://h/Patient/p1"}] * 2),
    ):
        assert refused(wrong)[0] == "schema_mismatch"
    many = bundle("collection", *[patient] * 3)
    assert refused(many, entries_max=2)[0] == "limit_exceeded"


def test_a_message_must_claim_a_named_profile() -> None:
    wanted = {"profiles": ["http://hospital/patient"]}
    assert refused(PATIENT, **wanted)[1] == "Patient.meta.profile"
    claims = PATIENT | {"meta": {"profile": ["http://hospital/patient|1.0"]}}
    assert rebuilt(claims, **wanted) == claims


def test_r5_has_its_own_definitions() -> None:
    encounter: Json = {"resourceType": "Encounter", "status": "completed"}
    assert refused(encounter)[0] == "schema_mismatch"
    assert rebuilt(encounter, version="R5") == encounter


def test_verbatim_strips_nothing() -> None:
    with pytest.raises(ValueError, match="strip nothing"):
        validator(fidelity="verbatim")
    sent = json.dumps(PATIENT, indent=1).encode()
    verdict = validator(fidelity="verbatim", narrative="refuse").validate(sent)
    assert isinstance(verdict, Accepted)
    assert verdict.payload == sent


@pytest.mark.parametrize(
    ("type_name", "good", "bad"),
    [
        ("date", ["2026", "2026-11", "2026-11-24"], ["2026-13", "26", "2026-1-1", 2026]),
        ("dateTime", ["2026-11-24T01:02:03+08:00"], ["2026-11-24T01:02", "2026-11-24T25:00:00Z"]),
        ("instant", ["2026-11-24T01:02:03.123Z"], ["2026-11-24", "2026-02-30T01:02:03Z"]),
        ("time", ["23:59:59"], ["24:00:00", "1:00:00"]),
        ("id", ["a-1.B"], ["a_b", "", "a" * 65]),
        ("code", ["a b"], ["a  b", " a", ""]),
        ("oid", ["urn:oid:1.2.156"], ["1.2.156", "urn:oid:3.1"]),
        ("positiveInt", [1], [0, -1, True, 2**31]),
        ("unsignedInt", [0], [-1, False]),
        ("integer64", ["-9"], [9, "09", "9" * 20]),
        ("string", ["a"], ["", " ", 1]),
        ("boolean", [True], [1, "true"]),
    ],
)
def test_primitives_hold_what_their_type_says(
    type_name: str, good: list[object], bad: list[object]
) -> None:
    assert all(primitives.is_valid(type_name, each) for each in good)
    assert not any(primitives.is_valid(type_name, each) for each in bad)


@pytest.mark.parametrize(
    "url",
    [
        "https://pacs.example/wado/7?frame=1",
        "Binary/7",
        "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
    ],
)
def test_a_link_leads_to_where_the_channel_says(url: str) -> None:
    made = judged(with_link(url), attachment_urls=["https://pacs.example/wado/"])
    assert isinstance(made, Accepted)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/wado/7",
        "https://pacs.example.evil.example/wado/7",
        "https://pacs.example@evil.example/wado/",
        "https://pacs.example/wado/../admin",
        "https://pacs.example/wado/%2e%2e/admin",
        "https://pacs.example/wado/..",
        "http://pacs.example/wado/7",
        "//evil.example/x",
        "/wado/7",
        "Binary/../../x",
        "ftp://pacs.example/wado/7",
    ],
)
def test_a_link_that_leads_elsewhere_is_refused(url: str) -> None:
    listed = {"attachment_urls": ["https://pacs.example/wado/"]}
    assert refused(with_link(url), **listed) == ("value_not_allowed", "Patient.photo[0].url")


def test_without_a_list_no_link_leads_out() -> None:
    assert refused(with_link("https://pacs.example/1"))[0] == "value_not_allowed"
    assert isinstance(judged(with_link("https://a/1"), attachment_urls="any"), Accepted)
    extension = PATIENT | {
        "extension": [{"url": "http://u", "valueAttachment": {"url": "https://evil.example/"}}]
    }
    assert refused(extension, extensions="any")[0] == "value_not_allowed"


@pytest.mark.parametrize("prefix", ["https://pacs.example", "pacs.example/", "https://a/../", ""])
def test_a_prefix_that_could_mean_another_host_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"with / at the end"):
        validator(attachment_urls=[prefix])
