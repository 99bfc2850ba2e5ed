"""Every hostile file of the corpora through a real worker: what it costs, what crosses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.make_corpora import GROUPS, Group
from tests.simulator.corpora import Sample, samples
from validators.pieces import Piece
from validators.policy import ContentPolicy
from validators.verdict import Accepted
from validators.worker import ContentSpec, WorkerPool
from validators.worker.sandbox import Limits

CPU_S_MAX = 2.0
MEMORY_BYTES_MAX = 256 * 1024 * 1024
"""Of address space: what is resident is less."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

FHIR = {"fhir": {"version": "R4", "resources": "any", "extensions": "any"}}
HOSTILE = [group for group in GROUPS if group.folder == "malicious"]
HARMLESS = {
    # Well-formed HL7 v2, whose control id is a path: the ferry names no file after it.
    "gen_hl7/control_id_traversal.hl7",
    "gen_hl7/control_id_windows.hl7",
    # Keys, values and base64 that an open schema lets pass, and a closed one does not.
    "gen_json/case_keys.json",
    "gen_json/fhir_attachment_eicar.json",
    "gen_json/fhir_attachment_url.json",
    "gen_json/many_keys_50000.json",
    "gen_json/proto.json",
    "strings_blns/blns.base64.json",
    # Elements that an open whitelist lets pass.
    "gen_xml/cda_nonxmlbody_eicar.xml",
    "gen_xml/cda_text_script.xml",
    "xml_PayloadsAllTheThings/system-properties.xml",
    # Neutralised: the stylesheet's instruction goes, the preamble crosses as zeros.
    "gen_xml/stylesheet_pi.xml",
    "gen_dicom/pe_polyglot.dcm",
    # 20 MB of zeros are within bounds; viruses are the virus scan's.
    "gen_zip/bomb_20MB.zip",
    "gen_zip/eicar.zip",
    "gen_av/eicar_base64.txt",
    "gen_av/gtube.txt",
}


def channels(group: Group) -> dict[str, ContentSpec]:
    policies = [*group.policies, *([FHIR] if group.title == "Hostile JSON" else [])]
    return {
        f"{group.title} {number}": ContentSpec(
            ContentPolicy.model_validate(policy), {"any.json": b"{}"}
        )
        for number, policy in enumerate(policies)
    }


def wrapped(group: Group, data: bytes) -> bytes:
    """The file as its family's worker is given it."""
    if any("dicom" in policy for policy in group.policies):
        return Piece(b"", data, is_last=True).packed()
    return group.wrap(data)


def files(group: Group) -> Iterator[Sample]:
    return (each for each in samples(group.folder) if each.name.startswith(group.below))


def cpu_s(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@pytest.mark.timeout(300)
def test_no_hostile_file_costs_more_than_its_bounds_or_ends_a_worker() -> None:
    specs = {name: spec for group in HOSTILE for name, spec in channels(group).items()}
    limits = Limits(memory_bytes_max=MEMORY_BYTES_MAX)
    accepted: set[str] = set()
    # The deadline is the wall's, which a busy machine stretches; time is held against the CPU's.
    with WorkerPool(specs, limits=limits, deadline_s=60) as pool:
        (pid,) = pool.process_ids
        for group in HOSTILE:
            for sample in files(group):
                begun_s = cpu_s(pid)
                message = wrapped(group, sample.read())
                verdicts = pool.validate_many([(name, message) for name in channels(group)])
                assert cpu_s(pid) - begun_s < CPU_S_MAX, sample.name
                assert pool.process_ids == (pid,), f"{sample.name} ended the worker"
                if sample.kind == "malicious" and any(isinstance(v, Accepted) for v in verdicts):
                    accepted.add(sample.name)
        assert pool.workers_ended == 0
    assert accepted == HARMLESS


def test_every_hostile_file_is_in_a_group() -> None:
    judged = {sample.name for group in HOSTILE for sample in files(group)}
    assert {sample.name for sample in samples("malicious")} == judged
