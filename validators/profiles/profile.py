"""A profile's parts, and a channel's text for each side's policy.

Rendering keeps the lines of profile.toml as they are, comments too: they tell the administrator
what to decide. So a table's header stands at the beginning of its line, and nothing else that
begins with a bracket does.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Final, NamedTuple

from validators.policy import ContentPolicy
from validators.registry import build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

    from validators.verdict import Validator, Verdict

_FILE: Final = "profile.toml"
_TABLES: Final = re.compile(r"^(?=\[)", re.MULTILINE)
_CONTENT: Final = re.compile(r"^(\[+)content\b", re.MULTILINE)


class Refusal(NamedTuple):
    """A message that the profile refuses: the file, the reason's code, the bytes."""

    file: str
    reason: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Profile:
    """One exchange: its whitelist, what suits it in both policies, and samples.

    `schemas` are the files that the content names, to be put beside the policy; `accepted` are
    messages by file name; `text` is profile.toml.
    """

    name: str
    title: str
    title_zh: str
    content: ContentPolicy
    order_by: str | None
    schemas: Mapping[str, bytes]
    accepted: Mapping[str, bytes]
    refused: tuple[Refusal, ...]
    text: str = field(repr=False)

    def validator(self) -> Validator:
        """The validator that a channel of this profile has on both sides."""
        return build(self.content, self.schemas, self.order_by)

    def judge(self, payload: bytes) -> Verdict:
        """The verdict on a whole message. A DICOM instance is judged in pieces, elsewhere too."""
        dicom = self.content.dicom
        if dicom is None:
            return self.validator().validate(payload)
        from validators.dicom.validator import DicomValidator, judge_whole  # slow to load

        return judge_whole(DicomValidator(dicom), payload)

    def outer_channel(self, channel: str, senders: Sequence[str]) -> str:
        """TOML of the channel for the outer's policy.toml; it ends with a line end."""
        return self._channel("outer", channel, f"senders = {json.dumps(list(senders))}")

    def inner_channel(self, channel: str, sink: str) -> str:
        """TOML of the channel for the inner's policy.toml; it ends with a line end."""
        return self._channel("inner", channel, f"sink = {json.dumps(sink)}")

    def is_scanned(self, side: str) -> bool:
        """Whether the channel asks for the virus scanner on that side: "outer" or "inner"."""
        return bool(tomllib.loads(self.text)[side].get("virus_scan", False))

    def _channel(self, side: str, channel: str, far_end: str) -> str:
        _, *tables = _TABLES.split(self.text)
        own = next(each for each in tables if each.startswith(f"[{side}]\n"))
        settings = own.partition("\n")[2].rstrip()
        content = "".join(each for each in tables if each.lstrip("[").startswith("content"))
        crossing = _CONTENT.sub(r"\1channels.content", content)
        head = f"# {self.title} ({self.title_zh}): begun from the profile {self.name}"
        table = f"[[channels]]\nname = {json.dumps(channel)}\n{far_end}\n{settings}\n"
        return f"{head}\n{table}{crossing}"


def names() -> tuple[str, ...]:
    """The profiles' names, sorted."""
    return tuple(sorted(each.name for each in _home().iterdir() if each.joinpath(_FILE).is_file()))


def load(name: str) -> Profile:
    """The profile of this name. Raises KeyError if there is none."""
    if name not in names():
        raise KeyError(name)
    folder = _home().joinpath(name)
    text = folder.joinpath(_FILE).read_text(encoding="utf-8")
    table = tomllib.loads(text)
    content = ContentPolicy.model_validate(table["content"])
    order_by = table["inner"].get("order_by", "channel")
    return Profile(
        name,
        table["title"],
        table["title_zh"],
        content,
        None if order_by == "channel" else order_by,
        {one.file: folder.joinpath(one.file).read_bytes() for one in content.schema_files()},
        _messages(folder.joinpath("accepted")),
        tuple(
            Refusal(file, file.partition(".")[0], payload)
            for file, payload in _messages(folder.joinpath("refused")).items()
        ),
        text,
    )


def _home() -> Traversable:
    return resources.files("validators.profiles")


def _messages(folder: Traversable) -> dict[str, bytes]:
    files = sorted(folder.iterdir(), key=lambda each: each.name)
    return {each.name: each.read_bytes() for each in files}
