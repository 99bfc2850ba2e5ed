"""`ferry-inspect`: what a ferry file says, in words, verified or not.

Without keys it reads the fixed frame only, and says that nothing was verified. With the sender's
public key it checks the signature. With the receiver's private key and the lane it verifies as the
inner does and lists the entries: ids, sequences, times, types and sizes; never a payload, which is
a patient's data.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from ferry_format import limits, reasons
from ferry_format.container import Header, Opener, read_untrusted_header, verify_signature
from ferry_format.envelope import Content, Entry, Envelope, Part, Tombstone
from ferry_format.identifiers import lane_id
from ferry_format.keys import (
    KeyFile,
    KeyKind,
    PublicKey,
    TrustedSender,
    TrustStore,
    parse_key_file,
    parse_token,
)
from ferry_format.parts import part_count
from ferry_format.reasons import FerryError, Refused

VERIFIED: Final = 0
REFUSED: Final = 1
NOT_VERIFIED: Final = 3
_KEY_FILE_BYTES_MAX: Final = 16_384


@dataclass(slots=True)
class Report:
    """What was found out. `digest` is None until the signature held."""

    file_bytes: int
    checked: tuple[str, ...] = ()
    header: Header | None = None
    digest: bytes | None = None
    content: Content | None = None
    refusal: Refused | None = None

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        if self.refusal is not None:
            return REFUSED
        return NOT_VERIFIED if self.digest is None else VERIFIED


def inspect(
    data: bytes, sender: PublicKey | None, receiver: KeyFile | None, lane: str | None, now_ms: int
) -> Report:
    """Find out what these keys let us. Never raises for what the file holds."""
    report = Report(len(data))
    try:
        header = report.header = read_untrusted_header(data)
        report.checked = ("frame",)
        report.checked += _names_that_hold(header, sender, receiver, lane)
        if sender is None:
            return report
        report.digest = verify_signature(data, sender)
        report.checked += ("signature",)
        if receiver is not None and lane is not None:
            trusted = TrustedSender("inspected", sender, frozenset({header.suite}), frozenset())
            opener = Opener(TrustStore([trusted]), [receiver], lane)
            report.content = opener.read(opener.verify(data, now_ms))
            report.checked += ("content",)
    except Refused as refusal:
        report.refusal = refusal
    return report


def _names_that_hold(
    header: Header, sender: PublicKey | None, receiver: KeyFile | None, lane: str | None
) -> tuple[str, ...]:
    """Which of the names given are the frame's, in the order of SPEC.md 4.3."""
    held: list[str] = []
    if sender is not None:
        if header.sender_key_id != sender.key_id:
            raise Refused(reasons.UNKNOWN_SENDER, "another key than the one given")
        held.append("sender")
    if lane is not None:
        if header.lane_id != lane_id(lane):
            raise Refused(reasons.WRONG_LANE)
        held.append("lane")
    if receiver is not None and receiver.public is not None:
        if header.receiver_key_id != receiver.public.key_id:
            raise Refused(reasons.WRONG_RECEIVER, "another key than the one given")
        held.append("receiver")
    return tuple(held)


def as_text(report: Report) -> str:
    """The report in words."""
    lines = [_verdict(report)]
    if report.header is not None:
        told = "" if report.digest is not None else "  (not verified)"
        lines += [f"  {name}: {value}{told}" for name, value in _frame(report).items()]
    if report.content is not None:
        content = report.content
        lines.append(f"Sealed at {_moment(content.sealed_at_ms)}; {_kind(content)}")
        lines += [
            f"  highest number so far on {channel}: {count}"
            for channel, count in content.beacon.channel_counts
        ]
        lines += ["  " + _entry_text(entry) for entry in content.entries]
    return "\n".join(lines)


def as_json(report: Report) -> str:
    """The report as one JSON object."""
    refusal, content = report.refusal, report.content
    table: dict[str, object] = {
        "verified": report.digest is not None and refusal is None,
        "checked": list(report.checked),
        "reason": None if refusal is None else refusal.reason.code,
        "meaning": None if refusal is None else refusal.reason.meaning,
        "action": None if refusal is None else refusal.reason.action,
        "where": None if refusal is None else refusal.where,
        "file_bytes": report.file_bytes,
        "frame_verified": report.digest is not None,
        "frame": _frame(report),
    }
    if content is not None:
        table["sealed_at"] = _moment(content.sealed_at_ms)
        table["beacon"] = dict(content.beacon.channel_counts)
        table["entries"] = [_entry(entry) for entry in content.entries]
    return json.dumps(table, indent=2)


def _verdict(report: Report) -> str:
    if report.refusal is not None:
        reason, where = report.refusal.reason, report.refusal.where
        return (
            f"REFUSED: {reason.meaning} [{reason.code}]"
            + (f" ({where})" if where else "")
            + f"\n  held before that: {', '.join(report.checked) or 'nothing'}"
            + f"\n  what to do: {reason.action}"
        )
    if report.digest is None:
        return (
            f"A ferry file of {report.file_bytes} bytes by its frame. Nothing was verified:"
            " give the sender's public key with --sender-key."
        )
    return f"A ferry file of {report.file_bytes} bytes. Checked: {', '.join(report.checked)}."


def _frame(report: Report) -> dict[str, object]:
    header = report.header
    if header is None:
        return {}
    table: dict[str, object] = {
        "version": header.version,
        "suite": f"{header.suite} (Ed25519, HPKE with ML-KEM-768/X25519, AES-256-GCM)",
        "stream": header.stream_id.hex(),
        "sequence": header.sequence,
        "previous digest": header.previous_digest.hex(),
        "sender key": header.sender_key_id.hex(),
        "receiver key": header.receiver_key_id.hex(),
        "lane id": header.lane_id.hex(),
    }
    if report.digest is not None:
        table["digest"] = report.digest.hex()
    return table


def _kind(content: Content) -> str:
    if not content.entries:
        return "a heartbeat: no entries"
    envelopes = sum(isinstance(entry, Envelope) for entry in content.entries)
    parts = sum(isinstance(entry, Part) for entry in content.entries)
    tombstones = len(content.entries) - envelopes - parts
    of_objects = f"{parts} parts of objects, " if parts else ""
    return f"{envelopes} messages, {of_objects}{tombstones} tombstones"


def _entry(entry: Entry) -> dict[str, object]:
    table: dict[str, object] = {
        "kind": type(entry).__name__.lower(),
        "message_id": entry.message_id.hex(),
        "channel": entry.channel,
        "channel_sequence": entry.channel_sequence,
    }
    if isinstance(entry, Tombstone):
        table["withdrawn_at"] = _moment(entry.withdrawn_at_ms)
        table["reason"] = entry.reason
        return table
    table["accepted_at"] = _moment(entry.accepted_at_ms)
    table["content_type"] = entry.content_type
    if isinstance(entry, Part):
        table["object_bytes"] = entry.object_bytes
        table["part"] = entry.number
        table["object_digest"] = entry.digest.hex() or None
    table["payload_bytes"] = len(entry.payload)
    table["payload_sha256"] = hashlib.sha256(entry.payload).hexdigest()
    return table


def _entry_text(entry: Entry) -> str:
    start = f"{entry.channel} {entry.channel_sequence}: {entry.message_id.hex()}"
    if isinstance(entry, Tombstone):
        return f"{start} withdrawn {_moment(entry.withdrawn_at_ms)} ({entry.reason})"
    size, digest = len(entry.payload), hashlib.sha256(entry.payload).hexdigest()
    at = _moment(entry.accepted_at_ms)
    what = f"accepted {at}, {entry.content_type}, {size} bytes, SHA-256 {digest}"
    if isinstance(entry, Envelope):
        return f"{start} {what}"
    count = part_count(entry.object_bytes)
    return f"{start} part {entry.number} of {count} (object of {entry.object_bytes} bytes), {what}"


def _moment(at_ms: int) -> str:
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (OverflowError, ValueError):
        return f"{at_ms} ms after 1970"


@click.command(
    epilog="Exit codes: 0 what could be checked holds; 1 refused; 2 wrong usage; "
    "3 nothing was verified, since no key was given."
)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--sender-key", metavar="FILE|TOKEN", help="The sender's public key: its .pub file or token."
)
@click.option(
    "--receiver-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The receiver's private key file; with --sender-key and --lane the entries are listed.",
)
@click.option("--lane", help="The lane's name, to be held against the file's.")
@click.option("--json", "in_json", is_flag=True, help="The same as one JSON object.")
def command(
    file: Path,
    sender_key: str | None,
    receiver_key: Path | None,
    lane: str | None,
    *,
    in_json: bool,
) -> None:
    """Say what a ferry file is, whether it holds, and if not, why. Shows no payload.

    What only the inner's policy and journal know is not judged: periods and revocations of keys,
    channels, and the file's place in its stream.
    """
    if receiver_key is not None and (sender_key is None or lane is None):
        raise click.UsageError("--receiver-key needs --sender-key and --lane")
    with file.open("rb") as opened:
        data = opened.read(limits.FILE_BYTES_MAX + 1)
    try:
        sender = None if sender_key is None else _sender(sender_key)
        receiver = None if receiver_key is None else _receiver(receiver_key)
    except FerryError as error:
        raise click.UsageError(f"{error}. {error.reason.action}") from error
    report = inspect(data, sender, receiver, lane, time.time_ns() // 1_000_000)
    click.echo(as_json(report) if in_json else as_text(report))
    sys.exit(report.exit_code)


def _sender(text: str) -> PublicKey:
    if text.startswith(f"{KeyKind.SIGN}:"):
        return parse_token(text, KeyKind.SIGN, "--sender-key")
    key = _key_file(Path(text)).public
    if key is None or key.kind is not KeyKind.SIGN:
        raise Refused(reasons.BAD_KEY_FILE, f"{text}: not a sender's key")
    return key


def _receiver(path: Path) -> KeyFile:
    key = _key_file(path)
    if key.kind is not KeyKind.RECEIVE or key.private is None:
        raise Refused(reasons.BAD_KEY_FILE, f"{path}: not a receiver's private key")
    return key


def _key_file(path: Path) -> KeyFile:
    try:
        with path.open(encoding="utf-8") as opened:
            return parse_key_file(opened.read(_KEY_FILE_BYTES_MAX), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(reasons.BAD_KEY_FILE, f"{path}: cannot be read") from error


def main() -> None:
    """Entry point of the console script."""
    command()


if __name__ == "__main__":
    main()
