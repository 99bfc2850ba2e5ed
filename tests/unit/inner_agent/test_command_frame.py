from __future__ import annotations

import json

import pytest

from inner_agent.command_frame import print_rows


def test_no_senders_text_forges_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"control_id": "1\r\n4711\u3000张", "state": "waiting"}]
    print_rows(rows, as_json=False, nothing="none")
    assert capsys.readouterr().out.splitlines() == [
        "control_id        state",
        "1\\r\\n4711\\u3000张  waiting",
    ]
    print_rows(rows, as_json=True, nothing="none")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == rows[0]
