"""What every family of messages does around its own judgement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferry_format.reasons import LIMIT_EXCEEDED, MESSAGE_EMPTY, Refused
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable


def judge(payload: bytes, bytes_max: int, accept: Callable[[bytes], Accepted]) -> Verdict:
    """The verdict of `accept`, which raises Refused, on a payload of a size that the channel takes.

    What it passes on has that size too: what grew would be refused by the same policy at the other
    end.
    """
    try:
        _check_size(payload, bytes_max)
        accepted = accept(payload)
        _check_size(accepted.payload, bytes_max)
    except Refused as refused:
        return Rejected(refused.reason, refused.where)
    return accepted


def _check_size(payload: bytes, bytes_max: int) -> None:
    if not payload:
        raise Refused(MESSAGE_EMPTY)
    if len(payload) > bytes_max:
        raise Refused(LIMIT_EXCEEDED, f"more than {bytes_max} bytes")
