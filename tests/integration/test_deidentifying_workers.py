"""De-identification in locked-down workers: every family, the flag, and the look without a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest

from ferry_format.reasons import PERSONAL_DATA_LEFT
from tests.simulator.deidentified import CDA, DICOM, FHIR, HL7, KEY, dicom_channel, instance
from tests.simulator.dicom_files import ct
from tests.simulator.personal_data import cda_document
from validators.deidentify.families import Deidentification
from validators.deidentify.keyed import Keyed
from validators.pieces import Piece, unpack
from validators.policy import ContentPolicy, DeidentificationPolicy
from validators.registry import ContentSpec
from validators.verdict import Accepted, Rejected
from validators.worker import WorkerPool

NUMBER = "ZY0012345678"
PSEUDONYM = Keyed(KEY).pseudonym(NUMBER).encode()
SCHEMA = b"{}"
PLACES = [{"at": "id", "holds": "internal"}, {"at": "name", "holds": "name"}]
POINTERS = [{"at": "/id", "holds": "internal"}, {"at": "/name", "holds": "name"}]
HL7_MESSAGE = (
    "MSH|^~\\&|A|B|C|D|20260301||ADT^A01|1|P|2.5||||||GB18030\r"
    f"PID|1||{NUMBER}||张^三||19690302\rNTE|1||{{}}\r"
)
FAMILIES: dict[str, tuple[dict[str, Any], dict[str, Any], bytes]] = {
    "hl7v2": (HL7, {}, HL7_MESSAGE.format("一切正常").encode("gb18030")),
    "fhir": (
        FHIR,
        {},
        json.dumps({"resourceType": "Patient", "id": NUMBER, "birthDate": "1969-03-02"}).encode(),
    ),
    "cda": (CDA, {}, cda_document(NUMBER).encode()),
    "json": (
        {"json": {"schema_file": "s", "schema_sha256": sha256(SCHEMA).hexdigest()}},
        {"places": POINTERS},
        json.dumps({"id": NUMBER, "name": "张三"}).encode(),
    ),
    "csv": (
        {"csv": {"columns": [{"name": "id"}, {"name": "name"}]}},
        {"places": PLACES},
        f"id,name\r\n{NUMBER},张三\r\n".encode(),
    ),
    "form": (
        {"form": {"fields": [{"name": "id"}, {"name": "name"}], "charset": "GB18030"}},
        {"places": PLACES},
        f"id={NUMBER}&name=%D5%C5".encode(),
    ),
}


def spec(content: dict[str, Any], **policy: Any) -> ContentSpec:
    described = Deidentification(DeidentificationPolicy(key="study", **policy), KEY)
    model = ContentPolicy.model_validate(content)
    return ContentSpec(model, {"s": SCHEMA}, deidentification=described)


def asked(pool: WorkerPool, channel: str, piece: Piece) -> Piece:
    (verdict,) = pool.validate_many([(channel, piece.packed())])
    assert isinstance(verdict, Accepted), verdict
    return unpack(verdict.payload)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    specs = {name: spec(content, **policy) for name, (content, policy, _) in FAMILIES.items()}
    specs["flagging"] = spec(HL7, leftovers="flag")
    specs["images"] = spec(DICOM)
    specs["inner"] = ContentSpec(ContentPolicy.model_validate(HL7), deidentified=True)
    with WorkerPool(specs, deadline_s=20) as made:
        yield made


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_works_behind_the_sandbox(pool: WorkerPool, family: str) -> None:
    (verdict,) = pool.validate_many([(family, FAMILIES[family][2])])
    assert isinstance(verdict, Accepted), verdict
    assert PSEUDONYM in verdict.payload
    assert NUMBER.encode() not in verdict.payload
    assert verdict.flag is None
    assert pool.workers_ended == 0


def test_an_instance_is_read_twice_behind_the_sandbox(pool: WorkerPool) -> None:
    sent = instance(dicom_channel(), ct(PatientID=NUMBER))
    learnt = asked(pool, "images", Piece(b"", sent, is_last=True))
    assert (learnt.data, learnt.is_last) == (b"", True)
    written = asked(pool, "images", Piece(learnt.state, sent, is_last=True))
    assert written.state == b""
    assert Keyed(KEY).pseudonym(PSEUDONYM.decode()).encode() in written.data
    assert pool.workers_ended == 0


def test_a_flag_comes_through_the_pipe(pool: WorkerPool) -> None:
    message = HL7_MESSAGE.format("张三").encode("gb18030")
    (verdict,) = pool.validate_many([("flagging", message)])
    assert isinstance(verdict, Accepted)
    assert verdict.flag is PERSONAL_DATA_LEFT


def test_the_inner_looks_without_a_key(pool: WorkerPool) -> None:
    dirty = HL7_MESSAGE.format("电话13800138000").encode("gb18030")
    clean = HL7_MESSAGE.format("电话12000138000").encode("gb18030")
    refused, passed = pool.validate_many([("inner", dirty), ("inner", clean)])
    assert refused == Rejected(PERSONAL_DATA_LEFT, "mobile number")
    assert isinstance(passed, Accepted)
    assert passed.payload == clean


def test_a_key_is_never_shown(pool: WorkerPool) -> None:
    made = spec(HL7)
    assert repr(KEY) not in repr(made)
    assert KEY.hex() not in repr(made)
    assert pool.sandbox
