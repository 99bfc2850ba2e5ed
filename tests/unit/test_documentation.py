"""What the pages name exists: links, files, keys, reasons, alerts, and every name with underscores.

Commands: test_shown_commands.py. Metrics: deploy/test_metrics_page.py. The two languages:
test_translations.py.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from ferry_format.reasons import BY_CODE
from ferry_runtime.reference import _models
from inner_agent.config import InnerConfig
from inner_agent.policy import InnerPolicy
from outer_agent.config import OuterConfig
from outer_agent.policy import OuterPolicy
from tests.unit.markdown_pages import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    inline_codes,
    links,
    name,
    read,
)

DOCUMENTS: tuple[type[BaseModel], ...] = (OuterConfig, OuterPolicy, InnerConfig, InnerPolicy)
PACKAGES = ("outer_agent", "inner_agent", "ferry_runtime", "validators", "ferry_format")
FOLDERS = (*PACKAGES, "deploy", "docs", "tests", "bench", "requirements")
BUILT = {"bench/results.json"}

SNAKE = re.compile(r"^(?!ferry_(?:outer|inner)_)[a-z][a-z0-9]*(?:_[a-z0-9]+)+$")
DOTTED = re.compile(
    r"^[a-z_]+(?:\.[a-z_]+)+(?<!\.db|\.py)(?<!\.key|\.pub)(?<!\.toml|\.json)(?<!\.sig)$"
)
PATH = re.compile(rf"^(?:{'|'.join(FOLDERS)})/[\w./*-]*$")
REASON_TABLE = re.compile(
    r"^\| (?:reason|\u539f\u56e0) \|[^\n]*\n\| ---[^\n]*\n((?:\|[^\n]*\n)+)", re.MULTILINE
)
MODULE = re.compile(r"^\w+\.py$")
ALERT = re.compile(r"\bFerry(?:[A-Z][a-z]+)+\b")

every_page = pytest.mark.parametrize("page", PAGES, ids=name)


@cache
def source() -> str:
    """All code and all that is deployed, to look names up in."""
    files = [file for folder in PACKAGES for file in (ROOT / folder).rglob("*.py")]
    files += [*(ROOT / "bench").rglob("*.py"), *(ROOT / "deploy").rglob("*.py")]
    files += [*(ROOT / "deploy").rglob("*.yml"), *(ROOT / "deploy").rglob("*.toml")]
    files.append(ROOT / "ferry_format/vectors/vectors.json")
    return "\n".join(map(read, files))


@cache
def words_of_the_source() -> frozenset[str]:
    """Every word of the code, and every file name without its ending."""
    return frozenset(re.findall(r"\w+", source())) | {
        file.stem for folder in FOLDERS for file in (ROOT / folder).rglob("*")
    }


@cache
def module_names() -> frozenset[str]:
    return frozenset(file.name for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


@cache
def alert_names() -> frozenset[str]:
    groups = yaml.safe_load(read(ROOT / "deploy/prometheus/alerts.yml"))["groups"]
    return frozenset(rule["alert"] for group in groups for rule in group["rules"])


def inner_models(models: Iterable[type[BaseModel]], key: str) -> list[type[BaseModel]] | None:
    """The tables that `key` can hold in any of `models`; None if no model has the key."""
    fields = [
        field
        for model in models
        for field_name, field in model.model_fields.items()
        if (field.alias or field_name) == key
    ]
    return [inner for field in fields for inner in _models(field.annotation)] if fields else None


def unknown_keys(models: list[type[BaseModel]], table: dict[str, Any], path: str = "") -> list[str]:
    """The keys of `table` that no model of `models` has, with their path."""
    unknown: list[str] = []
    for key, value in table.items():
        inner = inner_models(models, key)
        if inner is None:
            unknown.append(path + key)
        elif inner:
            entries = value if isinstance(value, list) else [value]
            for entry in entries:
                unknown += unknown_keys(inner, entry, f"{path}{key}.")
    return unknown


def has_key(models: Iterable[type[BaseModel]], path: list[str]) -> bool:
    """Whether a dotted key leads somewhere in one of the models."""
    inner = inner_models(models, path[0])
    return inner is not None and (len(path) == 1 or not inner or has_key(inner, path[1:]))


@every_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(read(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(read(target)), link


@every_page
def test_every_file_of_the_repository_that_is_named_exists(page: Path) -> None:
    for path in filter(PATH.match, inline_codes(read(page))):
        assert path in BUILT or any(ROOT.glob(path.rstrip("/"))), path


@every_page
def test_every_module_that_is_named_exists(page: Path) -> None:
    named = {code for code in inline_codes(read(page)) if MODULE.match(code)}
    assert named <= module_names()


@every_page
def test_every_configuration_key_that_a_block_sets_exists(page: Path) -> None:
    for block in blocks(read(page), "toml"):
        table = tomllib.loads(block.text)
        unknown = [unknown_keys([document], table) for document in DOCUMENTS]
        assert [] in unknown, f"line {block.line}: {min(unknown, key=len)}"


@every_page
def test_every_configuration_key_that_is_named_exists(page: Path) -> None:
    channels = [inner_models([model], "channels") for model in (OuterPolicy, InnerPolicy)]
    roots = [*DOCUMENTS, *(model for models in channels for model in models or ())]
    for code in filter(DOTTED.match, inline_codes(read(page))):
        path = code.split(".")
        if inner_models(roots, path[0]) and not (ROOT / path[0]).is_dir():
            assert has_key(roots, path), code


@every_page
def test_every_reason_of_a_table_of_reasons_exists(page: Path) -> None:
    for rows in REASON_TABLE.findall(read(page)):
        codes = re.findall(r"^\| `(\w+)`", rows, re.MULTILINE)
        assert codes
        assert set(codes) <= set(BY_CODE)


@every_page
def test_every_name_with_underscores_is_one_of_the_code(page: Path) -> None:
    named = {code for code in inline_codes(read(page)) if SNAKE.match(code)}
    assert named - words_of_the_source() == set()


@every_page
def test_every_alert_that_is_named_exists(page: Path) -> None:
    assert set(ALERT.findall(read(page))) <= alert_names()


def test_a_key_or_link_that_does_not_exist_would_be_noticed() -> None:
    assert unknown_keys([InnerConfig], {"journal": {"keep_weeks": 1}}) == ["journal.keep_weeks"]
    assert not has_key(DOCUMENTS, ["journal", "keep_weeks"])
    assert has_key(DOCUMENTS, ["journal", "keep_hours"])
    assert links("see [this](there.md#part) and `[not](this)`") == ["there.md#part"]
    assert anchors("# One\n\n## What is wrong? (doctor)\n") == {"one", "what-is-wrong-doctor"}
