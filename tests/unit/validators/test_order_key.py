"""What a channel orders by leaves a validator as a digest, and nothing where nothing stands."""

from __future__ import annotations

import hashlib
import json

import pytest

from tests.simulator.messages import adt
from validators.hl7v2.validator import HL7v2Validator
from validators.policy import ContentPolicy, HL7v2Policy
from validators.registry import ContentSpec, build
from validators.verdict import Accepted
from validators.worker import WorkerPool

MSH = "MSH|^~\\&|HIS|H|EMR|H|2026||ADT^A01|4711|P|2.5\r"
ANY = HL7v2Policy.model_validate({"messages": ["*"], "segments": "any"})


def digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def hl7(order_by: str, segments: str) -> bytes | None:
    verdict = HL7v2Validator(ANY, order_by).validate((MSH + segments).encode())
    assert isinstance(verdict, Accepted), verdict
    return verdict.order_key


@pytest.mark.parametrize(
    ("order_by", "segments", "value"),
    [
        ("PID-3", "PID|1||4711\r", "4711"),
        ("PID-3", "PID|1||4711^^^H^MR\r", "4711"),
        ("PID-3.1", "PID|1||4711^^^H^MR~身份证^^^CN\r", "4711"),
        ("PID-3.4", "PID|1||4711^^^H&2.16&ISO\r", "H"),
        ("PID-3.4", "PID|1||4711\r", None),
        ("PID-3.2", "PID|1||4711&x\r", None),
        ("PID-3.1", "PID|1||4711&x\r", "4711"),
        ("PID-3", "PID|1\r", None),
        ("PID-3", "PV1|1\r", None),
        ("PV1-19", "PID|1||9\rPV1|1||||||||||||||||||42\rPV1|2||||||||||||||||||43\r", "42"),
        ("MSH-10", "", "4711"),
    ],
)
def test_of_hl7_the_first_repetition_of_the_first_segment(
    order_by: str, segments: str, value: str | None
) -> None:
    assert hl7(order_by, segments) == (None if value is None else digest(value))


@pytest.mark.parametrize(
    ("message", "value"),
    [
        ({"patient": {"id": "4711"}}, "4711"),
        ({"patient": {"id": 4711}}, "4711"),
        ({"patient": {"id": ""}}, None),
        ({"patient": {"id": None}}, None),
        ({"patient": {"id": ["4711"]}}, None),
        ({"patient": {}}, None),
        ([], None),
    ],
)
def test_of_json_what_the_pointer_names(message: object, value: str | None) -> None:
    schema = b"{}"
    policy = ContentPolicy.model_validate(
        {"json": {"schema_file": "s.json", "schema_sha256": hashlib.sha256(schema).hexdigest()}}
    )
    made = build(policy, {"s.json": schema}, "/patient/id")
    verdict = made.validate(json.dumps(message).encode())
    assert isinstance(verdict, Accepted)
    assert verdict.order_key == (None if value is None else digest(value))


def test_it_comes_through_the_workers_pipe() -> None:
    policy = ContentPolicy.model_validate({"hl7v2": {"messages": ["*"], "segments": "any"}})
    with WorkerPool({"a": ContentSpec(policy), "b": ContentSpec(policy, {}, "MSH-10")}) as pool:
        without, with_key = pool.validate_many([("a", adt("7")), ("b", adt("7"))])
    assert isinstance(without, Accepted)
    assert isinstance(with_key, Accepted)
    assert (without.order_key, with_key.order_key) == (None, digest("7"))
