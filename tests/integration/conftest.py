"""Both event loops for the modules that ask for them.

The agents run on uvloop, and on asyncio's own loop where uvloop is absent; transports differ. A
module that says `BOTH_LOOPS = True` runs each of its tests on both; others on asyncio's alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    own = {"asyncio": asyncio.new_event_loop}
    if getattr(getattr(item, "module", None), "BOTH_LOOPS", False):
        return {**own, "uvloop": uvloop.new_event_loop}
    return own


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out C-STORE on asyncio's own loop: each test starts a process, which has no loop."""
    items[:] = [item for item in items if not item.name.endswith("[asyncio-c-store]")]
