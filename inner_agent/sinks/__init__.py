"""Adapters that replay messages to internal systems; base.py has the contract they keep.

A new sink is one module beside these, with its settings and its configuration section, and one
line in KINDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from inner_agent.sinks import dicom, folder, http, mllp

if TYPE_CHECKING:
    from collections.abc import Callable

    from inner_agent.config import SinkSection
    from inner_agent.sinks.base import Sink

KINDS: Final[dict[str, tuple[Callable[[Any], Any], Callable[[Any], Sink]]]] = {
    "http": (http.settings_of, http.HttpSink),
    "mllp": (mllp.settings_of, mllp.MllpSink),
    "dicom": (dicom.settings_of, dicom.DicomSink),
    "folder": (folder.settings_of, folder.FolderSink),
}


def build(section: SinkSection) -> Sink:
    """Return the sink that a [[sinks]] table describes; nothing is connected yet.

    Raises Refused for a TLS or secret file that cannot be used.
    """
    settings_of, sink = KINDS[section.kind]
    return sink(settings_of(section))
