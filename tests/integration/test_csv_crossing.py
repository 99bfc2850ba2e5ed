"""A table from a drop folder to a folder, through both agents."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.simulator.ferry_pair import Channel, FerryPair

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
    drop, out = tmp_path / "drop", tmp_path / "out"
    drop.mkdir()
    out.mkdir()
    pair = FerryPair(
        tmp_path,
        [Channel("payments", CONTENT, "billing")],
        f'[[sources]]\nkind = "folder"\nname = "tables"\npath = "{drop}"\n'
        f'channel = "payments"\nsettle_s = 0.1\npoll_s = 0.1\n',
        f'[[sinks]]\nkind = "folder"\nname = "billing"\npath = "{out}"\nsuffix = ".csv"\n',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["tables"]',
    )
    pair.write()
    pair.start()
    try:
        (drop / "good.csv").write_bytes(SENT.encode("gb18030"))
        (drop / "stray-quote.csv").write_bytes(SENT.replace("12", '1"2').encode("gb18030"))
        arrived = whole_files(out, pair)
        assert [path.read_bytes().decode("gb18030") for path in arrived] == [ARRIVES]
        assert arrived[0].suffix == ".csv"
        [note] = [path for path in (drop / "refused").iterdir() if path.name.endswith(".txt")]
        assert "not_well_formed" in note.read_text()
        assert "1001" not in note.read_text()
    finally:
        for name in list(pair.processes):
            pair.kill(name)


def whole_files(out: Path, pair: FerryPair) -> list[Path]:
    deadline_s = time.monotonic() + 30
    while True:
        pair.check_alive()
        if arrived := sorted(path for path in out.iterdir() if path.name[0] != "."):
            time.sleep(1)
            return arrived
        assert time.monotonic() < deadline_s, pair.tail()
        time.sleep(0.1)
