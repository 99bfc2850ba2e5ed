"""Read a TOML file into a model, whole or not at all, and say everything that is wrong with it.

A problem names file, line (where it can be found), key, what is wrong, and what to do. It never
shows a value: values can be secrets.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

from ferry_runtime import problem_words
from ferry_runtime.regular_file import read_regular
from ferry_runtime.toml_lines import KeyPath, TomlLines

DOCUMENT_BYTES_MAX: Final = 1024 * 1024

_LINE = re.compile(r" \(at line (\d+), column \d+\)$| \(at end of document\)$")
_QUOTED = re.compile(r"['\"].*['\"]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ConfigurationProblem:
    """One thing that is wrong, and what to do about it. `line` counts from 1."""

    file: str
    line: int | None
    key: str
    problem: str
    action: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        key = f" {self.key}:" if self.key else ""
        return f"{place}:{key} {self.problem}. {self.action}"


class ConfigurationError(Exception):
    """A configuration that cannot be used, with all its problems."""

    def __init__(self, problems: tuple[ConfigurationProblem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Section(BaseModel):
    """Base of every table of a configuration file: unchangeable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document came from, so that later checks can name its lines."""

    file: str = ""
    sha256: str = ""
    data: dict[str, Any] | None = None
    lines: TomlLines | None = None

    def problem(self, path: KeyPath, problem: str, action: str) -> ConfigurationProblem:
        """A problem with the key at `path` of this document."""
        line = None if self.lines is None else self.lines.nearest(path)
        return ConfigurationProblem(
            self.file, line, problem_words.shown_key(path, self.data or {}), problem, action
        )


class Document(Section):
    """Base of a whole file. `origin` tells where it was read from."""

    _origin: Origin = PrivateAttr(default_factory=Origin)

    @property
    def origin(self) -> Origin:
        """The file this was loaded from; an empty one if it was made in memory."""
        return self._origin


M = TypeVar("M", bound=Document)


def load(model: type[M], path: Path) -> M:
    """The document at `path`. Raises ConfigurationError with all its problems."""
    try:
        data = read_regular(path, DOCUMENT_BYTES_MAX)
    except OSError as error:
        problem = ConfigurationProblem(
            str(path), None, "", f"cannot be read: {error.strerror}", "Check its path and modes."
        )
        raise ConfigurationError((problem,)) from None
    return parse(model, data, path)


def parse(model: type[M], data: bytes, path: Path) -> M:
    """The document in `data`, which was read from `path`.

    Relative paths in it are taken from the folder of `path`. Raises ConfigurationError.
    """
    text, table = _table(data, str(path))
    origin = Origin(str(path), hashlib.sha256(data).hexdigest(), table, TomlLines(text))
    try:
        document = model.model_validate(table, context={"folder": path.absolute().parent})
    except ValidationError as error:
        found = problem_words.translate(model, table, error)
        raise ConfigurationError(
            tuple(origin.problem(one.path, one.problem, one.action) for one in found)
        ) from None
    document._origin = origin  # noqa: SLF001  (this module is the one that makes documents)
    return document


def _table(data: bytes, file: str) -> tuple[str, dict[str, Any]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            (ConfigurationProblem(file, line, "", "is not UTF-8 text", "Save it as UTF-8."),)
        ) from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError((_syntax(str(error), text, file),)) from None


def _syntax(message: str, text: str, file: str) -> ConfigurationProblem:
    found = _LINE.search(message)
    line = text.count("\n") + 1 if found is None or found[1] is None else int(found[1])
    # Some of the parser's messages quote a character or key; it could be of a secret.
    words = _QUOTED.sub("a character or key", _LINE.sub("", message))
    return ConfigurationProblem(
        file,
        line,
        "",
        f"is not TOML: {words[:1].lower()}{words[1:]}",
        "Correct this line (or the one before it): text in quotes, one KEY = VALUE a line, "
        "each key once.",
    )
