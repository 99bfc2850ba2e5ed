from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from ferry_runtime.reference import _models
from inner_agent.config import InnerConfig
from inner_agent.policy import InnerPolicy
from outer_agent.config import OuterConfig
from outer_agent.policy import OuterPolicy

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_configuration", DOCS / "make_configuration.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_models_say(generator: ModuleType) -> None:
    assert (DOCS / "configuration.md").read_text() == generator.page(), (
        "run: python docs/make_configuration.py"
    )


def every_model(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield from every_model(inner)


@pytest.mark.parametrize("document", [OuterConfig, OuterPolicy, InnerConfig, InnerPolicy])
def test_every_key_of_the_agents_is_described_and_every_table_is_closed(
    document: type[BaseModel],
) -> None:
    for model in every_model(document):
        assert model.model_config.get("extra") == "forbid", model
        assert model.model_config.get("frozen") is True, model
        if not model.__module__.startswith("validators."):
            missing = [name for name, field in model.model_fields.items() if not field.description]
            assert missing == [], model
