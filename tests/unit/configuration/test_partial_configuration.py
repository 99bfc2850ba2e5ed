"""What is left of a broken configuration file for whoever looks at the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry_runtime.partial_configuration import valid_parts
from inner_agent.config import InnerConfig
from outer_agent.config import OuterConfig, load_config
from tests.simulator.configured_site import inner_host, outer_host


def test_a_good_file_has_all_its_parts_as_when_loaded_whole(tmp_path: Path) -> None:
    host = outer_host(tmp_path / "outer")
    whole = load_config(host.config)
    parts = valid_parts(OuterConfig, host.config)
    assert parts == {name: getattr(whole, name) for name in OuterConfig.model_fields}


def test_a_broken_table_takes_no_other_with_it(tmp_path: Path) -> None:
    host = outer_host(tmp_path / "outer")
    text = host.config.read_text().replace("name = ", "nmae = ", 1)
    host.config.write_text(text + "\n[surprise]\nkey = 1\n")
    parts = valid_parts(OuterConfig, host.config)
    assert "agent" not in parts
    assert "surprise" not in parts
    assert parts["medium"].path == tmp_path / "outer" / "medium"


def test_of_a_list_the_good_entries_stay(tmp_path: Path) -> None:
    host = inner_host(tmp_path / "inner")
    host.config.write_text(host.config.read_text().replace('kind = "http"', 'kind = "tcp"'))
    assert [one.name for one in valid_parts(InnerConfig, host.config)["sinks"]] == [
        "his-adt",
        "archive",
    ]


@pytest.mark.parametrize("content", [b"[agent\n", b"\xff\xfe", None])
def test_what_is_no_toml_has_no_part(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "outer.toml"
    if content is not None:
        path.write_bytes(content)
    assert valid_parts(OuterConfig, path) == {}
