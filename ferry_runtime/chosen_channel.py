"""A channel that a first set-up makes: its name, the profile that it begins from, its TOML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ferry_format.identifiers import is_name
from ferry_runtime.problem_words import Mistake
from validators import profiles
from validators.profiles import Profile


@dataclass(frozen=True, slots=True)
class ChosenChannel:
    """The channel."""

    name: str
    profile: Profile

    @property
    def protocol(self) -> Literal["mllp", "dicom", "http"]:
        """By what its systems speak, unless somebody says otherwise."""
        if self.profile.content.hl7v2 is not None:
            return "mllp"
        return "http" if self.profile.content.dicom is None else "dicom"


def parse_channel(text: str) -> ChosenChannel:
    """The channel that NAME=PROFILE names, or a profile's name alone. Raises Mistake."""
    name, _, profile = text.partition("=")
    profile = profile or name
    if not is_name(name):
        raise Mistake(f"{name} is no channel's name", "Write NAME=PROFILE")
    if profile not in profiles.names():
        raise Mistake(f"{profile} is no profile", f"Take one of: {', '.join(profiles.names())}")
    return ChosenChannel(name, profiles.load(profile))


def scanner_table(channels: Sequence[ChosenChannel], side: Literal["outer", "inner"]) -> str:
    """The table of the virus scanner, if one of the channels is scanned on this side."""
    scanned = [one.name for one in channels if one.profile.is_scanned(side)]
    if not scanned:
        return ""
    return f"""
# Asked about each message of: {", ".join(scanned)}
[scanner]
socket = "/run/clamav/clamd.ctl"
"""


def toml_text(value: str | Path) -> str:
    """A text as TOML writes it, in quotes."""
    return json.dumps(str(value), ensure_ascii=False)
