"""The seven rows: each method on the values it is for, and on values that it cannot read."""

from __future__ import annotations

from typing import Any

import pytest

from validators.deidentify.keyed import Keyed
from validators.deidentify.methods import Methods, Subject
from validators.deidentify.slots import Form
from validators.policy.deidentify import DeidentificationPolicy, Kind

KEYED = Keyed(bytes(32))
SUBJECT = Subject(shift_days=10, moment="20260301")


def applied(kind: Kind, value: str, form: Form = Form.TEXT, **policy: Any) -> str | None:
    methods = Methods(DeidentificationPolicy(key="research", **policy), KEYED)
    return methods.apply(kind, value, SUBJECT, form)


@pytest.mark.parametrize(
    ("kind", "policy", "value", "expected"),
    [
        ("name", {}, "张三", None),
        ("name", {"names": "blank"}, "张三", "***"),
        ("contact", {"contacts": "county"}, "13800000000", None),
        ("address", {}, "北京市朝阳区建国路88号", None),
        ("address", {"contacts": "city"}, "浙江省杭州市西湖区文三路1号", "浙江省杭州市"),
        ("address", {"contacts": "county"}, "浙江省杭州市西湖区文三路1号", "浙江省杭州市西湖区"),
        ("address", {"contacts": "city"}, "北京市朝阳区建国路88号", "北京市"),
        ("address", {"contacts": "county"}, "北京市朝阳区建国路88号", "北京市朝阳区"),
        ("address", {"contacts": "county"}, "河北唐山市路南区新华道1号", "河北唐山市路南区"),
        (
            "address",
            {"contacts": "county"},
            "云南省大理白族自治州大理市",
            "云南省大理白族自治州大理市",
        ),
        ("address", {"contacts": "county"}, "浙江省西湖区张三路市场", "浙江省"),
        ("address", {"contacts": "county"}, "张三住在杭州市", None),
        ("city", {"contacts": "city"}, "杭州", "杭州"),
        ("city", {}, "杭州", None),
        ("county", {"contacts": "city"}, "西湖区", None),
        ("county", {"contacts": "county"}, "西湖区", "西湖区"),
        ("date", {}, "20260228", "20260310"),
        ("date", {}, "202602281530", "202603101530"),
        ("date", {}, "20260228153000.1234+0800", "20260310153000.1234+0800"),
        ("date", {}, "2026-02-28T23:59:60.5+08:00", "2026-03-10T23:59:60.5+08:00"),
        ("date", {}, "2026-02-28 08:00:00", "2026-03-10 08:00:00"),
        ("date", {}, "2026/02/28", "2026/03/10"),
        ("date", {}, "202602", "202602"),
        ("date", {}, "2026", "2026"),
        ("date", {}, "99991231", "99991231"),
        ("date", {}, "20260230", None),
        ("date", {}, "yesterday", None),
        ("date", {}, "20260228 Smith", None),
        ("date", {"dates": "month"}, "202602281530", "202602"),
        ("date", {"dates": "month"}, "2026-02-28T08:00:00Z", "2026-02"),
        ("date", {"dates": "year"}, "2026-02-28T08:00:00Z", "2026"),
        ("date", {"dates": "remove"}, "20260228", None),
        ("date", {"dates": "day-number"}, "1970-01-02", "719174"),
        ("date", {"dates": "day-number"}, "1970-01", None),
        ("birth-date", {}, "19690302", "55"),
        ("birth-date", {}, "1936-01-01", "90"),
        ("birth-date", {}, "20270101", None),
        ("birth-date", {"birth_dates": "remove"}, "19690302", None),
        ("age", {}, "57", "55"),
        ("age", {}, "89", "85"),
        ("age", {}, "90", "90"),
        ("age", {}, "104岁", "090岁"),
        ("age", {}, "057Y", "055Y"),
        ("age", {}, "8月", "0岁"),
        ("age", {}, "old", None),
        ("age", {"ages": "remove"}, "57", None),
        ("identity", {"identities": "remove"}, "11010519491231002X", None),
        ("postcode", {}, "310012", "310"),
        ("postcode", {}, "Zhang", None),
        ("postcode", {"postcodes": "remove"}, "310012", None),
        ("internal", {"internal_numbers": "remove"}, "ZY0001", None),
        ("text", {}, "no complaints", "no complaints"),
        ("keep", {}, "F", "F"),
        ("remove", {}, "F", None),
    ],
)
def test_a_method_gives(
    kind: Kind, policy: dict[str, Any], value: str, expected: str | None
) -> None:
    assert applied(kind, value, **policy) == expected


@pytest.mark.parametrize(
    ("kind", "policy", "form", "value", "expected"),
    [
        ("birth-date", {}, Form.DATE, "19690302", "1971"),
        ("birth-date", {}, Form.DATE, "19300302", "1936"),
        ("date", {"dates": "month"}, Form.INSTANT, "2026-02-28T08:00:00Z", "2026-02-01T00:00:00Z"),
        ("date", {"dates": "year"}, Form.INSTANT, "2026-02-28T08:00:00Z", "2026-01-01T00:00:00Z"),
    ],
)
def test_what_takes_dates_only_gets_a_date(
    kind: Kind, policy: dict[str, Any], form: Form, value: str, expected: str
) -> None:
    assert applied(kind, value, form, **policy) == expected


def test_identities_and_internal_numbers_share_one_pseudonym() -> None:
    number = "11010519491231002X"
    assert applied("identity", number) == applied("internal", number) == KEYED.pseudonym(number)


def test_a_number_is_replaced_by_digits_where_the_channel_says() -> None:
    assert applied("internal", "0012345678", internal_numbers="digits") == KEYED.digits(
        "0012345678"
    )


def test_without_a_patient_dates_are_cut_to_years() -> None:
    methods = Methods(DeidentificationPolicy(key="research"), KEYED)
    assert methods.apply("date", "20260228", Subject(None, None)) == "2026"


def test_without_a_date_of_the_message_no_age_is_told() -> None:
    methods = Methods(DeidentificationPolicy(key="research"), KEYED)
    assert methods.apply("birth-date", "19690302", Subject(1, None)) is None
