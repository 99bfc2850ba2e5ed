"""Is the spool as new as the medium? One that is older was restored from a backup.

Such a spool would give sequence numbers to new messages that the inner has already taken with other
content, and the inner must refuse those. So the outer looks before it publishes anything: a later
file on the medium that carries its own signature proves that the spool has gone back in time.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from ferry_format import reasons
from ferry_format.container import read_untrusted_header, verify_signature
from ferry_format.keys import PublicKey
from ferry_format.medium.reader import MediumReader
from ferry_format.reasons import Refused, StorageFault

LATER_LOOKED_AT: Final = 16
"""A stranger who writes the medium can put any number of later names there; none is signed."""


def check(medium: MediumReader, signed_by: PublicKey, stream_id: bytes, last_sequence: int) -> None:
    """Compare the medium with a spool that ends at `last_sequence`.

    Raises StorageFault(SPOOL_BEHIND), or Unavailable while the medium cannot be read.
    """
    for sequence in islice(medium.available(stream_id, last_sequence + 1), LATER_LOOKED_AT):
        try:
            file = medium.read(stream_id, sequence)
        except Refused:
            continue
        if file is not None and is_ours(signed_by, stream_id, sequence, file.data):
            where = f"the spool ends at file {last_sequence}, the medium holds file {sequence}"
            raise StorageFault(reasons.SPOOL_BEHIND, where)


def is_ours(signed_by: PublicKey, stream_id: bytes, sequence: int, data: bytes) -> bool:
    """Whether these bytes are a file that was sealed for this place under this key."""
    try:
        header = read_untrusted_header(data)
        verify_signature(data, signed_by)
    except Refused:
        return False
    return (header.stream_id, header.sequence) == (stream_id, sequence)
