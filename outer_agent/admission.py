"""The outer's decision on one message, before and beside its validation: pure functions.

Who may send what, how much, how often; and by which digests a repeated message is known.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent.policy import OuterChannel
from validators.verdict import Accepted, Rejected, Verdict

_DIGEST_BYTES: Final = 32
_OTHER_NAMES: Final = {
    "text/xml": "application/xml",  # RFC 7303, 9.2; SOAP 1.1 comes as such
    "application/soap+xml": "application/xml",  # whether it may be SOAP, the content policy says
}


@dataclass(frozen=True, slots=True)
class Submission:
    """One message as a source hands it over, stripped of its protocol.

    `sender` is a name of the policy. `content_type` is what the sender declared, None where the
    protocol declares none. `duplicate_key` is what the protocol knows the message by
    (Idempotency-Key, file name), None where it knows nothing. `received_at_ms`: unix milliseconds.
    """

    channel: str
    sender: str
    payload: bytes
    content_type: str | None
    duplicate_key: bytes | None
    received_at_ms: int

    @property
    def whole_bytes(self) -> int:
        """The message's size."""
        return len(self.payload)


@dataclass(frozen=True, slots=True)
class ObjectSubmission:
    """What a source knows of an object before its bytes; otherwise as Submission."""

    channel: str
    sender: str
    whole_bytes: int
    content_type: str | None
    duplicate_key: bytes | None
    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """By which a repeated message is known: keyed digests, which reveal nothing by themselves."""

    key_digest: bytes
    body_digest: bytes


@dataclass(frozen=True, slots=True)
class PartOf:
    """Which part of an object it is (ferry_format.envelope.Part)."""

    object_bytes: int
    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Admitted:
    """One message, or one part of an object, that may cross: its payload is the rebuilt one.

    The fingerprint of an object stands with its last part.
    """

    message_id: bytes
    channel: str
    accepted_at_ms: int
    content_type: str
    payload: bytes
    fingerprint: Fingerprint | None
    part: PartOf | None = None

    @property
    def whole_bytes(self) -> int:
        """The size of the message, or of the object that this is a part of."""
        return len(self.payload) if self.part is None else self.part.object_bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """Custody was taken of a message: its id, and whether it had been taken before.

    Of an object that was judged to its end also what it was accepted as (validators.verdict).
    """

    message_id: bytes
    duplicate: bool
    message_type: str = ""
    control_id: str | None = None


def check(
    submission: Submission | ObjectSubmission,
    channel: OuterChannel | None,
    content_type: str,
    *,
    is_batch: bool = False,
) -> OuterChannel:
    """The channel, if this sender may send such a message, batch or object on it.

    `content_type` is the channel's own media type. Raises Refused: CHANNEL_UNKNOWN,
    SENDER_NOT_ALLOWED, MESSAGE_EMPTY, MESSAGE_TOO_LARGE, ENTRY_KIND_NOT_ALLOWED or
    CONTENT_TYPE_NOT_ALLOWED.
    """
    if channel is None:
        raise Refused(reasons.CHANNEL_UNKNOWN)
    if submission.sender not in channel.senders:
        raise Refused(reasons.SENDER_NOT_ALLOWED, f"channel {channel.name}")
    if not submission.whole_bytes:
        raise Refused(reasons.MESSAGE_EMPTY, f"channel {channel.name}")
    if submission.whole_bytes > (channel.batch_bytes_max if is_batch else channel.bytes_max):
        raise Refused(reasons.MESSAGE_TOO_LARGE, f"channel {channel.name}")
    if isinstance(submission, ObjectSubmission) != channel.takes_objects:
        raise Refused(reasons.ENTRY_KIND_NOT_ALLOWED, f"channel {channel.name}")
    if not _is_content_type(submission.content_type, content_type):
        raise Refused(reasons.CONTENT_TYPE_NOT_ALLOWED, f"channel {channel.name}")
    return channel


def within_limit(verdict: Verdict, channel: OuterChannel) -> Verdict:
    """The verdict, or a refusal of what is larger than the channel takes once it is rebuilt.

    The inner would refuse it too, but after its sender was told that it will be delivered.
    """
    if isinstance(verdict, Accepted) and len(verdict.payload) > channel.bytes_max:
        return Rejected(reasons.MESSAGE_TOO_LARGE, "rebuilt message")
    return verdict


def _is_content_type(declared: str | None, expected: str) -> bool:
    """Whether the declared media type is the expected one; parameters such as charset aside.

    A sender that declares nothing, or bytes, leaves the judgement to the validator.
    """
    if declared is None:
        return True
    media_type = declared.split(";", 1)[0].strip().lower()
    media_type = _OTHER_NAMES.get(media_type, media_type)
    own = expected.split(";", 1)[0]
    # What +json is, is also application/json (RFC 6839), and many senders of FHIR say so.
    general = f"application/{own.rpartition('+')[2]}" if "+" in own else own
    return media_type in {own, general, "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class RateState:
    """A token bucket: how many messages may be sent at once, as of a time (monotonic seconds)."""

    tokens: float
    at_s: float


def spend(
    state: RateState | None, rate_per_s: float, burst: float, now_s: float, messages: int = 1
) -> tuple[RateState, bool]:
    """Take so many messages out of the bucket, or none; the new state, and whether they were there.

    A clock that stands still or goes back gives nothing and takes nothing.
    """
    if state is None:
        state = RateState(burst, now_s)
    earned = max(0.0, now_s - state.at_s) * rate_per_s
    tokens = min(burst, state.tokens + earned)
    at_s = max(state.at_s, now_s)
    if tokens < messages:
        return RateState(tokens, at_s), False
    return RateState(tokens - messages, at_s), True


def fingerprint(key: bytes, submission: Submission, duplicate_key: bytes) -> Fingerprint:
    """The digests of a message that its sender knows by `duplicate_key`.

    `key` is the installation's own secret: without it a digest can't be matched to a guess.
    """
    body = BodyDigest(key)
    body.update(submission.payload)
    return Fingerprint(key_digest(key, submission, duplicate_key), body.digest())


def key_digest(
    key: bytes, submission: Submission | ObjectSubmission, duplicate_key: bytes
) -> bytes:
    """The half of a fingerprint that is known before the message's bytes."""
    context = f"{submission.channel}\x00{submission.sender}\x00".encode()
    return _keyed(key, b"key\x00" + context + duplicate_key).digest()


class BodyDigest:
    """The other half, from bytes that come piece by piece, as the sender sent them."""

    def __init__(self, key: bytes) -> None:
        self._hash = _keyed(key, b"body\x00")

    def update(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)

    def digest(self) -> bytes:
        """The digest of all bytes so far."""
        return self._hash.digest()


def _keyed(key: bytes, data: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(data, key=key, digest_size=_DIGEST_BYTES)
