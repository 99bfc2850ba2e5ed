"""Hostile XML, from the corpora and made here: refused or harmless, soon, in a real worker."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest

from tests.simulator.corpora import samples
from tests.simulator.processor_time import processor_time_below
from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Rejected, Verdict
from validators.worker import ContentSpec, WorkerPool
from validators.worker.sandbox import Limits

SECONDS_MAX: Final = 2.0
MEMORY_BYTES_MAX: Final = 256 * 1024 * 1024
MESSAGE = b'<?xml version="1.0" encoding="GBK"?><a xmlns="urn:a">\xd6\xd0<b/></a>'
POLICY = ContentPolicy.model_validate({"xml": {"roots": "any", "elements": "any"}})


def judged(payload: bytes) -> Verdict:
    judge = build(POLICY, {})
    with processor_time_below(SECONDS_MAX):
        verdict = judge.validate(payload)
    if isinstance(verdict, Accepted):
        assert judge.validate(verdict.payload) == verdict
    return verdict


# Well-formed XML whose danger lies further on: what a text or a file says is not this family's
# matter, and a stylesheet's processing instruction goes.
HARMLESS: Final = {
    "gen_xml/cda_nonxmlbody_eicar.xml",
    "gen_xml/cda_text_script.xml",
    "gen_xml/stylesheet_pi.xml",
    "xml_PayloadsAllTheThings/system-properties.xml",
}


def test_hostile_xml_of_the_corpora() -> None:
    accepted = set()
    expected = set(HARMLESS)
    for sample in samples("malicious"):
        if not sample.name.startswith(("gen_xml/", "xml_")):
            continue
        if sample.kind == "valid":
            expected.add(sample.name)
        verdict = judged(sample.read())
        if isinstance(verdict, Accepted):
            accepted.add(sample.name)
            assert b"<?" not in verdict.payload
    assert accepted == expected


SIXTEEN: Final = 16 * 1024 * 1024
BOMBS: Final = {
    "elements": b"<a>" + b"<b/>" * (SIXTEEN // 4 - 10) + b"</a>",
    "attributes": b"<a " + b" ".join(b"a%d=''" % n for n in range(1_000_000)) + b"/>",
    "namespaces": b"<a " + b" ".join(b"xmlns:a%d='u:a'" % n for n in range(100_000)) + b"/>",
    "attributes allowed": b"<a " + b" ".join(b"a%d=''" % n for n in range(199_000)) + b"/>",
    "namespaces allowed": b"<a " + b" ".join(b"xmlns:a%d='u:a'" % n for n in range(49_000)) + b"/>",
    "depth": b"<a>" * (SIXTEEN // 3),
    "one text": b"<a>" + b"x" * (SIXTEEN - 10) + b"</a>",
    "comments": b"<!---->" * (SIXTEEN // 7) + b"<a/>",
    "half comments": b"<!--" * (SIXTEEN // 4),
    "half instructions": b"<?p " * (SIXTEEN // 4),
    "blanks": b" " * SIXTEEN,
    "references": b"<a>" + b"&#65;" * 2_000_000 + b"</a>",
    "types": b'<a xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
    + b"".join(b'<b xmlns:p%d="u:%d" i:type="p%d:T"/>' % (n, n, n) for n in range(20_000))
    + b"</a>",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_judged_in_time_and_memory_by_a_real_worker(name: str) -> None:
    limits = Limits(memory_bytes_max=MEMORY_BYTES_MAX)
    with WorkerPool({"x": ContentSpec(POLICY)}, limits=limits, deadline_s=20) as pool:
        verdicts = pool.validate_many([("x", BOMBS[name]), ("x", MESSAGE)])
        # Two million references are a long text, and the channel takes long texts.
        assert isinstance(verdicts[0], Accepted) == (name == "references")
        assert isinstance(verdicts[1], Accepted)
        assert verdicts[1].payload == '<a xmlns="urn:a">中<b></b></a>'.encode()


def test_a_schema_serves_in_a_real_worker() -> None:
    xsd = b"""<s:schema xmlns:s="http://www.w3.org/2001/XMLSchema">
<s:element name="o"><s:simpleType><s:restriction base="s:string">
<s:pattern value="\\p{IsCJKUnifiedIdeographs}+"/>
</s:restriction></s:simpleType></s:element></s:schema>"""
    named = {"schema_file": "o.xsd", "schema_sha256": hashlib.sha256(xsd).hexdigest()}
    xml = {"roots": ["o"], "elements": "any"} | named
    spec = ContentSpec(ContentPolicy.model_validate({"xml": xml}), {"o.xsd": xsd})
    with WorkerPool({"x": spec}) as pool:
        good, bad = pool.validate_many([("x", "<o>中文</o>".encode()), ("x", b"<o>1</o>")])
        assert isinstance(good, Accepted)
        assert isinstance(bad, Rejected)
        assert bad.reason.code == "schema_mismatch"


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_judged_soon(name: str) -> None:
    judged(BOMBS[name])
