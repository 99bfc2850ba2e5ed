"""From a [[sources]] table to a source. A new protocol is one new file and one line here."""

from __future__ import annotations

from outer_agent.config import DicomSource, FolderSource, HttpSource, MllpSource, SourceSection
from outer_agent.sources.base import Source, Surroundings
from outer_agent.sources.dicom import DicomListener
from outer_agent.sources.folder import DropFolder
from outer_agent.sources.http import HttpListener
from outer_agent.sources.mllp import MllpListener


def build(section: SourceSection, surroundings: Surroundings) -> Source:
    """The source that a section of the configuration describes, not started yet."""
    match section:
        case HttpSource():
            return HttpListener(section, surroundings)
        case MllpSource():
            return MllpListener(section, surroundings)
        case DicomSource():
            return DicomListener(section, surroundings)
        case FolderSource():
            return DropFolder(section, surroundings)
