"""Names on the medium: pure functions between (stream, sequence) and path (SPEC.md, chapter 8)."""

from __future__ import annotations

import re
from typing import Final

from ferry_format.limits import SEQUENCE_MAX

STAGE: Final = ".stage"
NOT_FOREIGN: Final = frozenset({STAGE, "lost+found"})
"""What may lie in the root beside streams: the second is every ext4 filesystem's own."""

FILES_PER_SHARD: Final = 4096

_STREAM = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SHARD = re.compile(r"[0-9]{16}", re.ASCII)
_FILE = re.compile(r"([0-9]{20})\.ferry", re.ASCII)
_STAGING = re.compile(r"[0-9]{20}\.[0-9a-f]{16}\.part", re.ASCII)


def stream_name(stream_id: bytes) -> str:
    """The directory of a stream."""
    return stream_id.hex()


def shard_number(sequence: int) -> int:
    """The shard that a sequence belongs to."""
    return sequence // FILES_PER_SHARD


def shard_name(sequence: int) -> str:
    """The directory, inside its stream's, of a sequence."""
    return f"{shard_number(sequence):016d}"


def file_name(sequence: int) -> str:
    """The name, inside its shard, of a sequence."""
    return f"{sequence:020d}.ferry"


def file_path(stream_id: bytes, sequence: int) -> str:
    """The path of a ferry file, relative to the medium's root."""
    return f"{stream_name(stream_id)}/{shard_name(sequence)}/{file_name(sequence)}"


def parse_stream(name: str) -> bytes | None:
    """The stream id that a directory's name stands for; None if it is a foreign name."""
    return bytes.fromhex(name) if _STREAM.fullmatch(name) else None


def parse_shard(name: str) -> int | None:
    """The number of a shard; None if it is a foreign name."""
    number = int(name) if _SHARD.fullmatch(name) else None
    return number if number is not None and number <= SEQUENCE_MAX // FILES_PER_SHARD else None


def parse_file(shard: int, name: str) -> int | None:
    """The sequence that a name in a shard stands for; None if it is a foreign name there."""
    match = _FILE.fullmatch(name)
    if match is None:
        return None
    sequence = int(match[1])
    lawful = 1 <= sequence <= SEQUENCE_MAX and shard_number(sequence) == shard
    return sequence if lawful else None


def staging_name(sequence: int, nonce: bytes) -> str:
    """The name, in the staging directory, of a file being written; `nonce` is 8 random bytes.

    Random, since a process id means nothing across containers and hosts that share a medium.
    """
    return f"{sequence:020d}.{nonce.hex()}.part"


def is_staging_name(name: str) -> bool:
    """Whether a writer gave this name in the staging directory."""
    return _STAGING.fullmatch(name) is not None
