"""Adapters that replay messages to internal systems; base.py has the contract they keep.

A new sink is one module beside these with a settings dataclass, and one line in SINKS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from inner_agent.sinks.folder import FolderSettings, FolderSink
from inner_agent.sinks.http import HttpSettings, HttpSink
from inner_agent.sinks.mllp import MllpSettings, MllpSink

if TYPE_CHECKING:
    from collections.abc import Callable

    from inner_agent.sinks.base import Sink

SinkSettings = HttpSettings | MllpSettings | FolderSettings

SINKS: Final[dict[type[SinkSettings], Callable[..., Sink]]] = {
    HttpSettings: HttpSink,
    MllpSettings: MllpSink,
    FolderSettings: FolderSink,
}


def build(settings: SinkSettings) -> Sink:
    """Return the sink; connects to nothing yet.

    Raises Refused for an unusable TLS file, ValueError for settings that contradict each other.
    """
    return SINKS[type(settings)](settings)
