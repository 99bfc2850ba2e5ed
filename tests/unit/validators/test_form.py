"""Forms: what is accepted, what it becomes, what is refused and where."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.processor_time import processor_time_below
from validators.form.validator import FormValidator
from validators.json_schema import SchemaError
from validators.order_key import digest_of
from validators.policy import FormPolicy
from validators.verdict import Accepted, Rejected, Verdict

FIELDS = [
    {"name": "card", "type": "integer", "required": True},
    {"name": "name"},
    {"name": "item", "repetitions_max": 3, "values": ["A", "B", ""]},
    {"name": "fee", "type": "decimal", "chars_max": 8},
    {"name": "day", "type": "date"},
    {"name": "phone", "pattern": "1[0-9]{10}"},
]


def judged(data: str | bytes, order_by: str | None = None, **policy: object) -> Verdict:
    values = {"fields": FIELDS} | policy
    validator = FormValidator(FormPolicy.model_validate(values), order_by)
    verdict = validator.validate(data.encode("ascii") if isinstance(data, str) else data)
    if isinstance(verdict, Accepted):
        assert validator.validate(verdict.payload) == verdict
    return verdict


def rebuilt(data: str | bytes, **policy: object) -> str:
    verdict = judged(data, **policy)
    assert isinstance(verdict, Accepted), verdict
    return verdict.payload.decode("ascii")


def refused(data: str | bytes, **policy: object) -> tuple[str, str]:
    verdict = judged(data, **policy)
    assert isinstance(verdict, Rejected), verdict
    return verdict.reason.code, verdict.place


@pytest.mark.parametrize(
    ("sent", "becomes"),
    [
        ("name=%e7%8e%8b&card=12", "card=12&name=%E7%8E%8B"),
        ("card=12&name=a+b%20c%2Bd", "card=12&name=a+b+c%2Bd"),
        ("card=%31%32", "card=12"),
        ("c%61rd=12", "card=12"),
        ("card=12&name=", "card=12&name="),
        ("item=B&card=1&item=A", "card=1&item=B&item=A"),
        ("card=12&name=/:@?!", "card=12&name=%2F%3A%40%3F%21"),
        ("card=12&name=x%0D%0Ay%09", "card=12&name=x%0D%0Ay%09"),
    ],
)
def test_fields_cross_in_their_declared_order_and_one_spelling(sent: str, becomes: str) -> None:
    assert rebuilt(sent) == becomes


@pytest.mark.parametrize(
    ("sent", "reason", "place"),
    [
        ("name=x", "field_missing", "card"),
        ("card=", "field_missing", "card"),
        ("card=1&card=2", "limit_exceeded", "card: more than 1 times"),
        ("card=1&item=A&item=A&item=A&item=A", "limit_exceeded", "item: more than 3 times"),
        ("card=x", "schema_mismatch", "card"),
        ("card=1&item=C", "schema_mismatch", "item"),
        ("card=1&fee=1.5e3", "schema_mismatch", "fee"),
        ("card=1&fee=123456.789", "limit_exceeded", "fee: more than 8 characters"),
        ("card=1&day=2026-02-30", "schema_mismatch", "day"),
        ("card=1&phone=1380013800", "schema_mismatch", "phone"),
        ("card=1&phone=138001380000", "schema_mismatch", "phone"),
        ("card=1&secret=x", "field_not_allowed", "field 2"),
        ("card=1&name=%E2%80%AE", "control_character", "name"),
        ("card=1&name=%00", "control_character", "name"),
        ("card=1&name=%EF%BB%BF", "control_character", "name"),
        ("card=1&name=%FF", "not_decodable", "field 2"),
        ("card=1&name=%C0%80", "not_decodable", "field 2"),
        ("card=1&name=%ED%A0%80", "not_decodable", "field 2"),
        ("card=1&name=%", "not_well_formed", "field 2"),
        ("card=1&name=%4", "not_well_formed", "field 2"),
        ("card=1&name=%u738b", "not_well_formed", "field 2"),
        ("card=1&name=a=b", "not_well_formed", "field 2"),
        ("card=1&name=a;fee=2", "not_well_formed", "field 2"),
        ("card=1&name", "not_well_formed", "field 2"),
        ("card=1&=x", "not_well_formed", "field 2"),
        ("card=1&", "not_well_formed", "field 2"),
        ("&card=1", "not_well_formed", "field 1"),
        ("card=1&&name=x", "not_well_formed", "field 2"),
        ("card=1\r\n", "not_well_formed", "field 1"),
        ("card=1&name=a b", "not_well_formed", "field 2"),
        ('card=1&name="a"', "not_well_formed", "field 2"),
        ("card=1&name=王".encode(), "not_well_formed", "field 2"),
        ("", "message_empty", ""),
        ("&" * 20_000, "limit_exceeded", "more than 10000 fields"),
    ],
)
def test_what_is_not_as_declared_is_refused(sent: str | bytes, reason: str, place: str) -> None:
    assert refused(sent) == (reason, place)


def test_a_multipart_body_is_no_form_whatever_it_is_called() -> None:
    part = '--here\r\nContent-Disposition: form-data; name="card"\r\n\r\n12\r\n--here--\r\n'
    assert refused(part) == ("not_well_formed", "field 1")
    assert refused(part, unknown_fields="strip") == ("not_well_formed", "field 1")


def test_undeclared_fields_are_stripped_where_the_channel_says_so() -> None:
    keys = {"unknown_fields": "strip"}
    assert rebuilt("secret=%E2%80%AE&card=1&%C3%A9=x", **keys) == "card=1"
    fields = [{"name": "card"}]
    assert refused("secret=x", fields=fields, **keys) == ("message_empty", "no declared field")


def test_gb18030_is_read_and_written_as_such() -> None:
    sent = urlencode({"card": "1", "name": "王芳㐀"}, encoding="gb18030")
    assert rebuilt(sent, charset="GB18030") == sent
    assert refused(sent) == ("not_decodable", "field 2")


def test_what_a_search_and_an_order_go_by() -> None:
    verdict = judged("card=12&name=x", "/name", control_id="card")
    assert isinstance(verdict, Accepted)
    assert (verdict.control_id, verdict.order_key) == ("12", digest_of("x"))
    verdict = judged("card=12", "/name")
    assert isinstance(verdict, Accepted)
    assert (verdict.control_id, verdict.order_key) == (None, None)
    assert refused("card=1&name=", control_id="name") == ("header_incomplete", "name")
    assert refused(f"card=1&name={'x' * 200}", control_id="name") == ("limit_exceeded", "name")


def test_verbatim_passes_the_bytes_after_the_same_checks() -> None:
    assert rebuilt("name=%e7%8e%8b&card=12", fidelity="verbatim") == "name=%e7%8e%8b&card=12"
    assert refused("card=x", fidelity="verbatim")[0] == "schema_mismatch"


@pytest.mark.parametrize(
    "policy",
    [
        {"fields": []},
        {"fields": [{"name": "a"}, {"name": "a"}]},
        {"control_id": "gone"},
        {"fidelity": "verbatim", "unknown_fields": "strip"},
        {"fields": [{"name": 'a"b'}]},
    ],
)
def test_a_policy_that_contradicts_itself_is_none(policy: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"fields|control_id|strip"):
        judged("card=1", **policy)


def test_a_pattern_that_could_blow_up_is_refused_with_the_policy() -> None:
    for pattern in (r"(a)\1", "(?=a)b", "(" * 3000):
        with pytest.raises(SchemaError, match="field name"):
            judged("name=a", fields=[{"name": "name", "pattern": pattern}])


@given(st.lists(st.tuples(st.sampled_from(["a", "b c", "王"]), st.text(max_size=20)), min_size=1))
def test_what_pythons_urlencode_writes_means_the_same_here(sent: list[tuple[str, str]]) -> None:
    fields = [{"name": name, "repetitions_max": 1000} for name in ("a", "b c", "王")]
    try:
        text = urlencode(sent)
    except UnicodeEncodeError:
        return
    verdict = judged(text, fields=fields)
    if isinstance(verdict, Rejected):
        assert verdict.reason.code == "control_character"
        return
    crossed = parse_qsl(verdict.payload.decode(), keep_blank_values=True, strict_parsing=True)
    assert sorted(crossed, key=lambda one: one[0]) == sorted(sent, key=lambda one: one[0])


@given(st.binary(max_size=60))
def test_no_bytes_raise_and_accepted_ones_are_fixed(data: bytes) -> None:
    judged(data, fields=[{"name": "a", "repetitions_max": 9}], unknown_fields="strip")


def test_large_hostile_forms_end_soon() -> None:
    with processor_time_below(4):
        for text in (
            "card=" + "%" * 4_000_000,
            "card=" + "%41" * 1_000_000,
            "a=&" * 1_000_000,
            "a" * 4_000_000,
        ):
            judged(text)
