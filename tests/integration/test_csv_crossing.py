"""A table from a drop folder to a folder, through both agents."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulator.folder_crossing import folder_crossing

pytestmark = pytest.mark.timeout(120)
CONTENT = """
[channels.content.csv]
unknown_columns = "strip"
formulas = "neutralise"
charset = "GB18030"
  [[channels.content.csv.columns]]
  name = "卡号"
  type = "integer"
  required = true
  [[channels.content.csv.columns]]
  name = "项目"
  [[channels.content.csv.columns]]
  name = "金额"
  type = "decimal"
"""
SENT = "项目,卡号,金额,备注\n挂号费,1001,12.50,private\n=HYPERLINK(1),1002,-3.00,private\n"
ARRIVES = "卡号,项目,金额\r\n1001,挂号费,12.50\r\n1002,'=HYPERLINK(1),-3.00\r\n"


def test_a_table_crosses_with_its_declared_columns_only(tmp_path: Path) -> None:
    with folder_crossing(tmp_path, CONTENT, ".csv") as crossing:
        (crossing.drop / "stray-quote.csv").write_bytes(SENT.replace("12", '1"2').encode("gb18030"))
        [note] = crossing.refusals(1)
        assert "not_well_formed" in note
        assert "1001" not in note
        (crossing.drop / "good.csv").write_bytes(SENT.encode("gb18030"))
        [table] = crossing.arrived(1)
        assert table.suffix == ".csv"
        assert table.read_bytes().decode("gb18030") == ARRIVES
