"""Escape sequences: checked and passed on as they are, never resolved into the message.

A decoder further on will resolve them, so what they resolve to is checked as if it stood there:
a hexadecimal CR is how a forged segment is carried past a gate. HL7 v2.5.1 2.7, v2.7 2.7.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import CONTROL_CHARACTER, NOT_WELL_FORMED, Reason
from validators.characters import find_forbidden

if TYPE_CHECKING:
    from validators.hl7v2.charset import Charset

_STANDARD: Final = re.compile(
    r"""
    [FSTREHNP]                                  # separators, highlighting, truncation (v2.7)
    | \.(?:br|fi|nf|ce)                         # formatting of FT
    | \.sp(?:[+]?[0-9]{1,4})?
    | \.sk[+]?[0-9]{1,4}
    | \.(?:in|ti)[+-]?[0-9]{1,4}
    | C[2-7][0-9A-F][2-7][0-9A-F]               # single-byte character set
    | M[2-7][0-9A-F][2-7][0-9A-F](?:[2-7][0-9A-F])?
    """,
    re.VERBOSE,
)
_USUAL: Final = frozenset({"F", "S", "T", "R", "E", "H", "N", ".br"})
_HEXADECIMAL: Final = re.compile(r"[Xx]((?:[0-9A-Fa-f]{2})+)")
_HEXADECIMAL_STARTS: Final = ("X", "x")
_CHARSET_SWITCH: Final = ("C", "M")
_CONTROL_BYTES: Final = bytes(set(range(0x20)) - {0x09}) + b"\x7f"
_LINE_BREAKS: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class EscapeRules:
    """What one channel lets pass, for a message in `charset`.

    `any_text`: an escape character that begins no known sequence is ordinary text (bare
    backslashes in paths). `converting`: the charset changes on the way out, so nothing may depend
    on the old one.
    """

    character: str
    charset: Charset
    any_text: bool
    hex_line_breaks: bool
    converting: bool

    def problem(self, text: str) -> Reason | None:
        """Return why the escapes in one field may not pass, or None."""
        pieces = text.split(self.character)
        if self.any_text:
            # Where sequences begin is a matter of opinion here: each piece may be one.
            return next(filter(None, map(self._hexadecimal_problem, pieces)), None)
        if len(pieces) % 2 == 0:
            return NOT_WELL_FORMED
        return next(filter(None, map(self._sequence_problem, pieces[1::2])), None)

    def _sequence_problem(self, body: str) -> Reason | None:
        if body in _USUAL:
            return None
        if _STANDARD.fullmatch(body) is not None:
            switches = self.converting and body.startswith(_CHARSET_SWITCH)
            return NOT_WELL_FORMED if switches else None
        if not body.startswith("X") or _HEXADECIMAL.fullmatch(body) is None:
            return NOT_WELL_FORMED
        return self._hexadecimal_problem(body)

    def _hexadecimal_problem(self, body: str) -> Reason | None:
        found = _HEXADECIMAL.fullmatch(body) if body[:1] in _HEXADECIMAL_STARTS else None
        if found is None:
            return None
        data = bytes.fromhex(found[1])
        if self.hex_line_breaks:
            data = data.translate(None, _LINE_BREAKS)
        if len(data.translate(None, _CONTROL_BYTES)) != len(data):
            return CONTROL_CHARACTER
        if self.converting and not data.isascii():
            return NOT_WELL_FORMED
        try:
            text = data.decode(self.charset.codec)
        except UnicodeDecodeError:
            return None if self.any_text else NOT_WELL_FORMED
        return None if find_forbidden(text) is None else CONTROL_CHARACTER
