"""What a walk has rebuilt: held until the file meta information can be written before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import LIMIT_EXCEEDED, Refused
from validators.dicom import head

if TYPE_CHECKING:
    from validators.dicom.state import WalkState
    from validators.dicom.whitelist import Whitelist

_HELD_BYTES_MAX: Final = 1024 * 1024


class Output:
    """The bytes of one piece. Where the whole walk stands is in `state`."""

    def __init__(self, state: WalkState, whitelist: Whitelist, *, is_strict: bool) -> None:
        self._state = state
        self._whitelist = whitelist
        self._is_strict = is_strict
        self._out: list[bytes] = []

    def emit(self, data: bytes) -> None:
        """Write the next bytes of the data set. Raises Refused if too much must be held."""
        self._state.is_empty = False
        if self._state.is_begun:
            self._out.append(data)
            return
        self._state.held += data
        if len(self._state.held) > _HELD_BYTES_MAX:
            raise Refused(LIMIT_EXCEEDED, "before SOPInstanceUID")

    def begin(self) -> None:
        """Write the file meta information: both UIDs have passed, or cannot come. Raises Refused.

        Nothing happens if it was written before.
        """
        state = self._state
        if state.is_begun:
            return
        if self._is_strict:
            head.check_same(state.sop_class, state.meta_class, "SOPClassUID")
            head.check_same(state.sop_instance, state.meta_instance, "SOPInstanceUID")
        state.sop_class = state.sop_class or state.meta_class
        state.sop_instance = state.sop_instance or state.meta_instance
        head.check_uid(state.sop_class, "SOPClassUID")
        head.check_uid(state.sop_instance, "SOPInstanceUID")
        self._whitelist.check_class(state.sop_class)
        self._out.append(head.written(state.sop_class, state.sop_instance, state.syntax))
        self._out.append(state.held)
        state.held, state.is_begun = b"", True

    def taken(self) -> bytes:
        """What may go on, counted in `state`."""
        out = b"".join(self._out)
        self._state.written += len(out)
        return out
