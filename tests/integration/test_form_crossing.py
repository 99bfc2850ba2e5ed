"""A form from an HTTP client to a folder, through both agents."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.simulator.clients import HttpSender
from tests.simulator.ferry_pair import free_port
from tests.simulator.folder_crossing import folder_crossing

pytestmark = pytest.mark.timeout(120)
KEY = "key-of-the-appointment-page"
CONTENT = """
[channels.content.form]
unknown_fields = "strip"
control_id = "order"
  [[channels.content.form.fields]]
  name = "order"
  type = "integer"
  required = true
  [[channels.content.form.fields]]
  name = "科室"
"""


def test_a_form_crosses_with_its_declared_fields_only(tmp_path: Path) -> None:
    port = free_port()
    with folder_crossing(
        tmp_path,
        CONTENT,
        ".form",
        inner_options='order_by = "/order"',
        outer_tables=f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{port}"\n',
        senders=f'api_keys_sha256 = ["{hashlib.sha256(KEY.encode()).hexdigest()}"]',
    ) as crossing:
        declared = "application/x-www-form-urlencoded; charset=UTF-8"
        sender = HttpSender(port, {"Authorization": f"Bearer {KEY}", "Content-Type": declared})
        status, _ = sender.send("messages", "科室=x&order=7".encode())
        assert status == 422
        status, _ = sender.send("messages", b"%e7%a7%91%E5%AE%A4=a%20b&secret=1&order=7")
        assert status == 202
        sender.close()
        [file] = crossing.arrived(1)
        assert file.read_bytes() == b"order=7&%E7%A7%91%E5%AE%A4=a+b"
