"""A HIPMessageServer call over HTTP, through both agents, to a folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.simulator.clients import HttpSender
from tests.simulator.ferry_pair import free_port
from tests.simulator.folder_crossing import folder_crossing

pytestmark = pytest.mark.timeout(120)
KEY = "key-of-the-integration-platform"
CONTENT = """
[channels.content.xml]
roots = ["{urn:hl7-org:v3}PRPA_IN201311UV02"]
elements = ["/PRPA_IN201311UV02/id", "/PRPA_IN201311UV02/controlActProcess/**"]
soap = "strip"
control_id = "/PRPA_IN201311UV02/id/@extension"
[channels.content.xml.call]
actions = ["PatientRegistryAddRequest"]
"""
HEAD = '<PRPA_IN201311UV02 xmlns="urn:hl7-org:v3"><id extension="%s" root="1.2"></id>'
TAIL = "<controlActProcess><name>王芳</name></controlActProcess>%s</PRPA_IN201311UV02>"


def envelope(message: str, action: str = "PatientRegistryAddRequest") -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/">'
        "<soap:Header><token>secret-of-the-header</token></soap:Header><soap:Body>"
        f'<HIPMessageServer xmlns="urn:hl7-org:v3"><action>{action}</action>'
        f'<message><![CDATA[<?xml version="1.0"?>{message}]]></message></HIPMessageServer>'
        "</soap:Body></soap:Envelope>"
    ).encode()


def test_a_call_crosses_as_its_message_and_is_answered_in_soap(tmp_path: Path) -> None:
    port = free_port()
    with folder_crossing(
        tmp_path,
        CONTENT,
        ".xml",
        outer_options="[channels.soap_reply]",
        outer_tables=f'[[sources]]\nkind = "http"\nname = "soap"\nlisten = "127.0.0.1:{port}"\n',
        senders=f'api_keys_sha256 = ["{hashlib.sha256(KEY.encode()).hexdigest()}"]',
    ) as crossing:
        sender = HttpSender(port, {"Authorization": f"Bearer {KEY}", "Content-Type": "text/xml"})
        good = HEAD % "M-1" + TAIL % ""
        for _ in range(2):
            status, answer = sender.send("messages", envelope(good))
            assert status == 200
            assert b'typeCode="AA"' in answer.replace(b"&quot;", b'"')
            assert b'extension="M-1"' in answer.replace(b"&quot;", b'"')
        for refused, reason in (
            (envelope(HEAD % "M-2" + TAIL % "<hidden/>"), b"element_not_allowed"),
            (envelope(good, "Other"), b"message_type_not_allowed"),
        ):
            status, answer = sender.send("messages", refused)
            assert status == 200
            assert b'typeCode="AE"' in answer.replace(b"&quot;", b'"')
            assert reason in answer
        sender.close()
        [file] = crossing.arrived(1)
        assert file.read_text() == good
