"""Both agents: what is known of a person does not reach the medium, and the inner looks too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ferry_format import keys
from ferry_format.keys import KeyKind
from tests.simulator.configured_site import NOW
from tests.simulator.folder_crossing import FolderCrossing, folder_crossing

pytestmark = pytest.mark.timeout(180)

HL7 = '[channels.content.hl7v2]\nmessages = ["*"]\nsegments = "any"\n'
POLICY = '[channels.deidentification]\nkey = "research"\ncontacts = "city"\n'
DEMANDED = "deidentified = true"
IDENTITY = "11010519491231002X"
"""The specimen of GB 11643."""
MESSAGE = (
    "MSH|^~\\&|LIS|H|EMR|H|20261124080000||ORU^R01|{control_id}|P|2.5||||||UNICODE UTF-8\r"
    "PID|1||ZY10086^^^H^MR~" + IDENTITY + "^^^GOV^NI||张^三丰||19491231|M|||"
    "建国路88号^^北京市^北京^100022||13800138000\r"
    "OBX|1|FT|R^report||{text}||||||F|||20261123\r"
)


def tables(folder: Path) -> str:
    key = keys.generate(KeyKind.DEIDENTIFICATION, "research", NOW)
    path = folder / "research.key"
    path.touch(mode=0o600)
    path.write_text(keys.private_text(key))
    return f'[deidentification]\nkeys = ["{path}"]\n'


def put(crossing: FolderCrossing, control_id: str, text: str) -> None:
    name = f"{control_id}.hl7"
    aside = crossing.drop / f".{name}"
    aside.write_text(MESSAGE.format(control_id=control_id, text=text), encoding="utf-8")
    aside.rename(crossing.drop / name)


def test_a_message_crosses_without_its_person(tmp_path: Path) -> None:
    with folder_crossing(
        tmp_path,
        HL7,
        ".hl7",
        outer_tables=tables(tmp_path),
        outer_options=POLICY,
        inner_options=DEMANDED,
    ) as crossing:
        put(crossing, "4711", "no complaints")
        arrived = crossing.arrived(1)[0].read_text(encoding="utf-8")
        assert "no complaints" in arrived
        assert "^^北京市^北京^100" in arrived
        for known in (IDENTITY, "ZY10086", "张", "三丰", "1380013", "建国", "4711", "19491231"):
            assert known not in arrived
        put(crossing, "4712", "患者张三丰自述头痛")
        (note,) = crossing.refusals(1)
        assert "personal_data_left" in note
        assert "张" not in note
        told = json.dumps(crossing.pair.log_events("outer"), ensure_ascii=False)
        assert "4712" not in told
        assert "张" not in told


def test_a_flagged_message_is_told_of_and_the_inner_refuses_it_by_itself(tmp_path: Path) -> None:
    with folder_crossing(
        tmp_path,
        HL7,
        ".hl7",
        outer_tables=tables(tmp_path),
        outer_options=POLICY + 'leftovers = "flag"\n',
        inner_options=DEMANDED,
    ) as crossing:
        put(crossing, "4713", f"id {IDENTITY}")
        put(crossing, "4714", "clean")
        assert "clean" in crossing.arrived(1)[0].read_text(encoding="utf-8")
        assert crossing.pair.metric("outer", "ferry_outer_messages_flagged_total") == 1
        refused = [
            one
            for one in crossing.pair.log_events("verifier")
            if one.get("reason") == "personal_data_left"
        ]
        assert len(refused) == 1
