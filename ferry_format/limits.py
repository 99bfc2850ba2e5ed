"""Every limit of the format, with its reason. All sizes are bytes.

A receiver refuses what passes a limit; a sender never produces it. The agents' own, smaller limits
are configuration.
"""

from __future__ import annotations

from typing import Final

MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""One payload. The largest HL7 messages met in the field carry a scanned document in OBX-5."""

CONTENT_BYTES_MAX: Final = 24 * 1024 * 1024
"""One file's plaintext: a full payload beside a few thousand small ones."""

FILE_BYTES_MAX: Final = CONTENT_BYTES_MAX + 64 * 1024
"""One ferry file: plaintext, frame and key encapsulation. A sparse 1 TB file stops here."""

ENTRIES_PER_FILE_MAX: Final = 4096
"""Entries in one file: bounds the objects made from one decode."""

PART_BYTES: Final = 4 * 1024 * 1024
"""One part of an object; all but the last have exactly this size. Few enough for a small message
to pass between two parts soon, and enough for the cost of a file to be small beside it."""

OBJECT_BYTES_MAX: Final = 2**42
"""One object, 4 TiB: a million parts."""

CHANNELS_MAX: Final = 1024
"""Channels that one beacon names."""

NAME_CHARS_MAX: Final = 64
"""Channel, lane, sender and agent names."""

CONTENT_TYPE_CHARS_MAX: Final = 100
"""A media type with its charset parameter."""

REASON_CHARS_MAX: Final = 64
"""A reason code in a tombstone."""

SEQUENCE_MAX: Final = 2**63 - 1
"""File and channel sequences: what SQLite and every msgpack library hold as an integer."""

TIME_MS_MAX: Final = 2**53 - 1
"""Unix milliseconds that every JSON reader still holds exactly."""
