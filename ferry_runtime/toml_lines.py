"""On which line a key of a TOML document stands, for error messages only.

tomllib gives no lines. This scanner walks a document that tomllib has already accepted, so it need
not judge it: it skips values (strings, arrays and inline tables, over several lines where they are)
and notes table headers and keys. Keys inside an inline table or an array are not looked for; they
are on the line of the nearest key around them that is known.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

KeyPath = tuple[str | int, ...]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


class TomlLines:
    """Lines (from 1) of the tables and keys of one document."""

    def __init__(self, text: str) -> None:
        self._text = text.replace("\r\n", "\n")
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._last_index: dict[KeyPath, int] = {}
        self._table: KeyPath = ()
        # On TOML that this scanner does not know, the lines found so far still hold.
        with contextlib.suppress(IndexError):
            self._document()

    def exact(self, path: KeyPath) -> int | None:
        """The line of just this key or table header."""
        return self._lines.get(path)

    def nearest(self, path: KeyPath) -> int | None:
        """The line of the key, or of the nearest table or key around it. None if there is none."""
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return None

    def _document(self) -> None:
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in " \t\n":
                self._at += 1
            elif character == "#":
                self._comment()
            elif character == "[":
                self._header()
            else:
                self._assignment()

    def _header(self) -> None:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        keys = self._keys("]")
        self._at += 2 if is_array else 1
        path = self._resolved(keys[:-1])
        path = (*path, keys[-1])
        if is_array:
            index = self._last_index.get(path, -1) + 1
            self._last_index[path] = index
            self._lines.setdefault(path, line)
            path = (*path, index)
        self._table = path
        self._note(path, line)

    def _resolved(self, keys: list[str]) -> KeyPath:
        """Key names as a path: after the name of an array of tables stands its last index."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._last_index:
                path = (*path, self._last_index[path])
        return path

    def _assignment(self) -> None:
        line = self._line()
        keys = self._keys("=")
        self._at += 1
        for count in range(1, len(keys) + 1):
            self._note((*self._table, *keys[:count]), line)
        self._value()

    def _note(self, path: KeyPath, line: int) -> None:
        self._lines.setdefault(path, line)

    def _keys(self, end: str) -> list[str]:
        keys: list[str] = []
        while self._text[self._at] != end:
            character = self._text[self._at]
            if character in "\"'":
                keys.append(self._string())
            elif (bare := _BARE.match(self._text, self._at)) is not None:
                keys.append(bare.group())
                self._at = bare.end()
            else:
                self._at += 1
        if not keys:
            raise IndexError
        return keys

    def _value(self) -> None:
        depth = 0
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in "\"'":
                self._string()
            elif character == "#":
                self._comment()
            elif character == "\n" and depth == 0:
                return
            else:
                depth += (character in "[{") - (character in "]}")
                self._at += 1

    def _string(self) -> str:
        quote = self._text[self._at]
        fence = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        start = self._at = self._at + len(fence)
        while not self._text.startswith(fence, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
            if self._at >= len(self._text):
                raise IndexError
        found = self._text[start : self._at]
        self._at += len(fence)
        # Up to two quotes of its own may stand before the closing three.
        while len(fence) > 1 and self._text.startswith(quote, self._at):
            self._at += 1
        return _ESCAPE.sub(r"\1", found) if quote == '"' else found

    def _comment(self) -> None:
        end = self._text.find("\n", self._at)
        self._at = len(self._text) if end < 0 else end

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1
