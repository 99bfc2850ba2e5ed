"""The walk through a DICOM file, piece by piece: every length, level and delimiter is checked.

What goes on is written anew: file meta information from the data set's own UIDs, sequences and
items with delimiters (so nothing must be held back to know a length), texts with one padding,
reserved bytes as zeros. Values of bytes and words pass through without being held; everything else
is held one value at a time. What the channel does not name is walked like the rest and left out.

References: PS3.5, 7 (data set), 7.5 (nesting), 7.8 (private elements), 6.2.2 (UN), A.4 (compressed
pixels); PS3.10, 7.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    LIMIT_EXCEEDED,
    MESSAGE_EMPTY,
    NOT_WELL_FORMED,
    Refused,
)
from validators.dicom import dictionary, encoding, head, pixels
from validators.dicom.charsets import BY_POLICY_NAME, codecs_of
from validators.dicom.dictionary import ITEM, ITEM_END, PIXEL_DATA, SEQUENCE_END, name_of
from validators.dicom.encoding import UNDEFINED, Header
from validators.dicom.output import Output
from validators.dicom.state import Fragments, Level, Stage, WalkState
from validators.dicom.syntaxes import BY_UID
from validators.dicom.treatment import Fate, Untreated, Value
from validators.dicom.values import BULK, SIZES, rebuilt

if TYPE_CHECKING:
    from validators.dicom.treatment import Treatment
    from validators.dicom.whitelist import Whitelist
    from validators.policy import DicomPolicy

_STARTS_BYTES: Final = 12
_TAG_AND_LENGTH: Final = 8
_LAST_TAG: Final = 0xFFFFFFFF
_NO_GROUPS: Final = frozenset({0x0000, 0x0001, 0x0002, 0x0003, 0x0004, 0x0005, 0x0007, 0xFFFF})
"""Groups of commands, files and directories, and odd ones that may not be private (PS3.5, 7.1)."""


class Walker:
    """Goes on from where `state` stands; changes it. One walker takes one piece."""

    def __init__(
        self,
        policy: DicomPolicy,
        whitelist: Whitelist,
        state: WalkState,
        treatment: Treatment | None = None,
    ) -> None:
        self._policy = policy
        self._whitelist = whitelist
        self._state = state
        self._treatment = treatment or Untreated()
        self._output = Output(state, whitelist, is_strict=policy.header == "strict")
        self._emit = self._output.emit
        self._buffer = b""
        self._at = 0

    def feed(self, data: bytes, *, is_last: bool) -> bytes:
        """Take the next bytes; the rebuilt ones. Raises Refused."""
        state = self._state
        self._buffer, self._at = state.pending + data, 0
        if state.offset + len(self._buffer) > self._policy.bytes_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {self._policy.bytes_max} bytes")
        while self._step(is_last=is_last):
            pass
        state.pending = self._buffer[self._at :]
        state.offset += self._at
        if is_last:
            self._finish()
        out = self._output.taken()
        if state.written > self._policy.bytes_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {self._policy.bytes_max} bytes")
        return out

    # --- steps

    def _step(self, *, is_last: bool) -> bool:
        """Take what comes next; False if more bytes are needed."""
        match self._state.stage:
            case Stage.HEAD:
                return self._take_head(is_last=is_last)
            case Stage.BULK:
                return self._take_bulk()
            case Stage.FRAGMENTS:
                return self._take_fragment()
            case _:
                self._close_ended()
                top = self._top
                return self._take_item(top) if top.is_sequence else self._take_element(top)

    def _take_head(self, *, is_last: bool) -> bool:
        found = head.read(self._buffer, is_all=is_last)
        if found is None:
            return False
        state = self._state
        syntax = self._whitelist.syntax(found.syntax)
        state.syntax = found.syntax
        state.meta_class, state.meta_instance = found.sop_class, found.sop_instance
        self._whitelist.check_class(found.sop_class)
        default = BY_POLICY_NAME[self._policy.default_charset]
        state.levels = [
            Level(
                is_sequence=False,
                end=None,
                bound=None,
                is_implicit=syntax.is_implicit,
                is_big_endian=syntax.is_big_endian,
                is_muted=False,
                character_set=[default] if default else [],
            )
        ]
        self._at = found.size
        state.stage = Stage.DATA_SET
        return True

    def _take_bulk(self) -> bool:
        """Pass on, or leave out, what is there of a value; behind its lawful size only zeros."""
        state = self._state
        taken = self._take(min(state.bulk_left, self._there))
        state.bulk_left -= len(taken)
        if not state.bulk_is_muted:
            self._emit(taken)
        if not state.bulk_left and state.zeros_left:
            padding = self._take(min(state.zeros_left, self._there))
            if padding.strip(b"\0"):
                raise Refused(NOT_WELL_FORMED, "PixelData")
            state.zeros_left -= len(padding)
        if state.bulk_left or state.zeros_left:
            return False
        state.stage = state.after_bulk
        return True

    def _take_item(self, sequence: Level) -> bool:
        """An item of a sequence, or the sequence's end."""
        if self._there < _TAG_AND_LENGTH:
            return False
        tag, length = encoding.tag_and_length(self._buffer, self._at, sequence)
        self._at += _TAG_AND_LENGTH
        if tag == SEQUENCE_END and sequence.end is None and not length:
            self._close()
        elif tag == ITEM:
            parent = self._state.levels[-2]
            self._open(sequence, length, is_sequence=False)
            self._top.character_set = parent.character_set
            if not sequence.is_muted:
                self._emit(encoding.delimiter(sequence, ITEM, UNDEFINED))
        else:
            raise Refused(NOT_WELL_FORMED, "item")
        return True

    def _take_element(self, level: Level) -> bool:
        """An element of a data set, or the item's end."""
        if self._there < _TAG_AND_LENGTH:
            return False
        tag, length = encoding.tag_and_length(self._buffer, self._at, level)
        if tag == ITEM_END:
            if len(self._state.levels) == 1 or level.end is not None or length:
                raise Refused(NOT_WELL_FORMED, "item")
            self._at += _TAG_AND_LENGTH
            self._close()
            return True
        header = encoding.header(self._buffer, self._at, level)
        return header is not None and self._judge(level, header)

    def _judge(self, level: Level, header: Header) -> bool:
        """One element whose header is known; False if its value is needed and not all there."""
        tag, length, size = header.tag, header.length, header.size
        representation = encoding.representation(level, tag, header.code)
        is_opaque = representation in BULK
        if not is_opaque and representation != "SQ" and length != UNDEFINED:
            if length > self._policy.value_bytes_max:
                raise Refused(LIMIT_EXCEEDED, name_of(tag))
            if self._there < size + length and self._fits(level, size + length):
                return False
        self._check_place(level, tag, length, size)
        if len(self._state.levels) == 1:
            self._pass_to(tag)
        level.last_tag = tag
        self._count()
        self._at += size
        fate = self._fate(level, tag, length, representation)
        if representation == "SQ" or (length == UNDEFINED and representation == "UN"):
            self._take_sequence(level, header, fate)
        elif length == UNDEFINED:
            self._begin_fragments(level, tag, crosses=fate is Fate.CROSSES)
        elif is_opaque:
            self._begin_bulk(level, header, representation, fate)
        else:
            self._take_value(level, header, representation, fate)
        return True

    def _check_place(self, level: Level, tag: int, length: int, size: int) -> None:
        if tag <= level.last_tag or tag >> 16 in _NO_GROUPS or tag >> 16 == ITEM >> 16:
            raise Refused(NOT_WELL_FORMED, name_of(tag))
        if length != UNDEFINED and (length % 2 or not self._fits(level, size + length)):
            raise Refused(NOT_WELL_FORMED, name_of(tag))

    def _fate(self, level: Level, tag: int, length: int, representation: str) -> Fate:
        if level.is_muted or not self._crosses(level, tag, length):
            return Fate.LEFT_OUT
        return self._treatment.fate(tag, representation)

    def _crosses(self, level: Level, tag: int, length: int) -> bool:
        if not (dictionary.is_private(tag) and dictionary.is_creator(tag)):
            return self._whitelist.crosses(tag, level)
        # Its value is all there: a creator is a text, however it is declared.
        value = self._buffer[self._at : self._at + min(length, self._there)]
        creator = value.rstrip(b" \0").decode("latin-1")
        if not self._whitelist.creator_crosses(tag, creator):
            return False
        level.creators.append(tag >> 16 << 8 | tag & 0xFF)
        return True

    # --- values

    def _take_value(self, level: Level, header: Header, representation: str, fate: Fate) -> None:
        tag, value = header.tag, self._take(header.length)
        if fate is Fate.LEFT_OUT:
            return
        codecs = codecs_of(tuple(level.character_set))
        strict = self._policy.values == "standard"
        value, text = rebuilt(representation, value, codecs, name_of(tag), strict=strict)
        depth = len(self._state.levels) // 2
        treated = self._treatment.value(Value(tag, representation, value, text, codecs, depth))
        if treated is None:
            return
        value, text = treated
        self._remember(level, tag, value, text)
        self._emit(encoding.header_bytes(level, tag, header.code, len(value)))
        self._emit(value)

    def _remember(self, level: Level, tag: int, value: bytes, text: str) -> None:
        """Keep what later elements are judged by."""
        state = self._state
        if tag == dictionary.CHARACTER_SET:
            level.character_set = [term.strip() for term in text.split("\\")] if text else []
            codecs_of(tuple(level.character_set))
        elif tag in pixels.DESCRIPTION:
            pixels.remember(level, tag, value, text)
        elif len(state.levels) == 1 and tag == dictionary.SOP_CLASS:
            state.sop_class = text
        elif len(state.levels) == 1 and tag == dictionary.SOP_INSTANCE:
            state.sop_instance = text

    def _begin_bulk(self, level: Level, header: Header, representation: str, fate: Fate) -> None:
        state, tag, length = self._state, header.tag, header.length
        lawful, crosses = length, fate is Fate.CROSSES
        if tag in dictionary.NATIVE_PIXELS and crosses:
            if BY_UID[state.syntax].is_encapsulated and len(state.levels) == 1:
                raise Refused(NOT_WELL_FORMED, name_of(tag))
            lawful = pixels.native_bytes(level.image, self._policy.bytes_max)
            if length < lawful:
                raise Refused(NOT_WELL_FORMED, name_of(tag))
        if length % max(2, SIZES[representation]):
            raise Refused(NOT_WELL_FORMED, name_of(tag))
        state.bulk_left, state.zeros_left = lawful, length - lawful
        state.bulk_is_muted = not crosses
        state.stage, state.after_bulk = Stage.BULK, Stage.DATA_SET
        if fate is not Fate.LEFT_OUT:
            self._emit(encoding.header_bytes(level, tag, header.code, lawful if crosses else 0))

    def _take_sequence(self, level: Level, header: Header, fate: Fate) -> None:
        if fate is not Fate.LEFT_OUT:
            self._emit(encoding.header_bytes(level, header.tag, header.code, UNDEFINED))
        if fate is Fate.EMPTIED:
            self._emit(encoding.delimiter(level, SEQUENCE_END, 0))
        self._open(level, header.length, is_sequence=True)
        top = self._top
        top.is_muted = fate is not Fate.CROSSES
        if (
            header.code == "UN"
        ):  # what an unknowing system passed on is written as it came (PS3.5, 6.2.2)
            top.is_implicit, top.is_big_endian = True, False

    # --- encapsulated pixel data

    def _begin_fragments(self, level: Level, tag: int, *, crosses: bool) -> None:
        if tag != PIXEL_DATA or not BY_UID[self._state.syntax].is_encapsulated:
            raise Refused(NOT_WELL_FORMED, name_of(tag))
        self._state.fragments = Fragments(not crosses, pixels.frames(level.image))
        self._state.stage = Stage.FRAGMENTS
        if crosses:
            self._emit(encoding.header_bytes(level, tag, "OB", UNDEFINED))

    def _take_fragment(self) -> bool:
        if self._there < _TAG_AND_LENGTH:
            return False
        level, fragments = self._top, self._state.fragments
        tag, length = encoding.tag_and_length(self._buffer, self._at, level)
        if tag == SEQUENCE_END and not length:
            fragments.check_end(is_video=BY_UID[self._state.syntax].is_video)
            self._at += _TAG_AND_LENGTH
            self._state.stage = Stage.DATA_SET
            self._emit_fragment(level, tag, length)
            return True
        lawful = length % 2 == 0 and self._fits(level, _TAG_AND_LENGTH + length)
        if tag != ITEM or length == UNDEFINED or not lawful:
            raise Refused(NOT_WELL_FORMED, "PixelData")
        if fragments.table is None:
            return self._take_table(level, length)
        return self._begin_fragment(level, length)

    def _take_table(self, level: Level, length: int) -> bool:
        """The basic offset table: empty, or where each frame begins."""
        fragments = self._state.fragments
        if length % 4 or length > self._policy.value_bytes_max:
            raise Refused(NOT_WELL_FORMED, "basic offset table")
        if self._there < _TAG_AND_LENGTH + length:
            return False
        self._at += _TAG_AND_LENGTH
        fragments.table = self._take(length)
        self._emit_fragment(level, ITEM, length)
        if not fragments.is_muted:
            self._emit(fragments.table)
        return True

    def _begin_fragment(self, level: Level, length: int) -> bool:
        state, fragments = self._state, self._state.fragments
        seen = min(length, _STARTS_BYTES)
        if self._there < _TAG_AND_LENGTH + seen:
            return False
        begins = self._at + _TAG_AND_LENGTH
        starts = BY_UID[state.syntax].starts
        if not fragments.count and not self._buffer[begins : begins + seen].startswith(starts):
            raise Refused(NOT_WELL_FORMED, "PixelData")
        self._count()
        fragments.add(_TAG_AND_LENGTH + length)
        self._emit_fragment(level, ITEM, length)
        self._at += _TAG_AND_LENGTH
        state.bulk_left, state.zeros_left, state.bulk_is_muted = length, 0, fragments.is_muted
        state.stage, state.after_bulk = Stage.BULK, Stage.FRAGMENTS
        return True

    def _emit_fragment(self, level: Level, tag: int, length: int) -> None:
        if not self._state.fragments.is_muted:
            self._emit(encoding.delimiter(level, tag, length))

    # --- levels

    @property
    def _top(self) -> Level:
        return self._state.levels[-1]

    def _open(self, parent: Level, length: int, *, is_sequence: bool) -> None:
        """Go one level down, into a sequence or an item of so many bytes."""
        if length != UNDEFINED and not self._fits(parent, length):
            raise Refused(NOT_WELL_FORMED, "sequence" if is_sequence else "item")
        if len(self._state.levels) > 2 * self._policy.depth_max:
            raise Refused(LIMIT_EXCEEDED, f"deeper than {self._policy.depth_max}")
        if not is_sequence:
            self._count()
        end = None if length == UNDEFINED else self._position + length
        self._state.levels.append(
            Level(
                is_sequence,
                end,
                parent.bound if end is None else end,
                parent.is_implicit,
                parent.is_big_endian,
                parent.is_muted,
                parent.character_set,
            )
        )

    def _close(self) -> None:
        level = self._state.levels.pop()
        if not level.is_muted:
            end = SEQUENCE_END if level.is_sequence else ITEM_END
            self._emit(encoding.delimiter(level, end, 0))

    def _close_ended(self) -> None:
        """Leave levels whose declared end is here."""
        while self._top.end is not None and self._top.end == self._position:
            self._close()

    def _fits(self, level: Level, size: int) -> bool:
        return level.bound is None or self._position + size <= level.bound

    def _count(self) -> None:
        self._state.elements += 1
        if self._state.elements > self._policy.elements_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {self._policy.elements_max} elements")

    # --- the end

    def _finish(self) -> None:
        state = self._state
        is_whole = len(state.levels) == 1 and state.stage is Stage.DATA_SET
        if not is_whole or state.pending:
            raise Refused(NOT_WELL_FORMED, "end of the file")
        if state.is_empty:
            raise Refused(MESSAGE_EMPTY)
        self._pass_to(_LAST_TAG)

    def _pass_to(self, tag: int) -> None:
        """Write what must stand before a tag of the outermost data set."""
        level = self._top
        if tag > dictionary.SOP_INSTANCE:
            self._output.begin()
        inserted = self._treatment.inserted(level, level.last_tag, tag)
        if inserted:
            self._emit(inserted)

    # --- bytes

    @property
    def _there(self) -> int:
        return len(self._buffer) - self._at

    @property
    def _position(self) -> int:
        return self._state.offset + self._at

    def _take(self, size: int) -> bytes:
        taken = self._buffer[self._at : self._at + size]
        self._at += len(taken)
        return taken
