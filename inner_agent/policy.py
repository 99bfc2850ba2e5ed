"""The security administrator's file of the inner agent, policy.toml: whom and what to accept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, Strict, model_validator

from ferry_format import keys, limits
from ferry_format.keys import KeyKind, TrustedSender
from ferry_runtime.configuration import Document, Section
from ferry_runtime.policy import load_signed
from ferry_runtime.problem_words import Mistake
from ferry_runtime.scanner.scannable import check_scannable
from ferry_runtime.setting_types import Moment, Name, Seconds, SignToken, Switch
from inner_agent.channel_gaps import OnGap
from validators.policy import ContentPolicy, OrderBy, SchemaFile

MessageBytes = Annotated[int, Strict(), Field(ge=1, le=limits.MESSAGE_BYTES_MAX)]
_MS_PER_S: Final = 1000


class SenderSection(Section):
    """A key whose ferry files are accepted, and what it may do. A sender may have two in turn."""

    name: Name = Field(
        description="Name of the sender (the outer agent). Its stream is bound to it, so never "
        "rename it."
    )
    key: SignToken = Field(
        description="Its public key, ferry-sign-1:… (ferry-keys show, or trust)."
    )
    suites: tuple[Literal[1], ...] = Field(
        default=(1,),
        min_length=1,
        description="Cryptographic suites allowed for this key: 1 = Ed25519 and hybrid "
        "ML-KEM-768/X25519.",
    )
    channels: tuple[Name, ...] = Field(
        min_length=1, description="Channels on which this key may send."
    )
    not_before: Moment | None = Field(
        default=None, description="Date and time before which the key is refused."
    )
    not_after: Moment | None = Field(
        default=None, description="Date and time after which the key is refused."
    )
    revoked: Switch = Field(
        default=False,
        description="Whether the key is refused for good (ferry-keys revoke). Leave the table in "
        "place: it tells a revoked key from a strange one.",
    )

    @model_validator(mode="after")
    def _period_is_one(self) -> Self:
        if (
            self.not_before is not None
            and self.not_after is not None
            and self.not_before >= self.not_after
        ):
            raise Mistake("has not_before at or after not_after", "Correct one of the two.")
        return self

    def trusted(self) -> TrustedSender:
        """The sender as the format's trust store takes it."""
        before, after = self.not_before, self.not_after
        return TrustedSender(
            self.name,
            keys.parse_token(self.key, KeyKind.SIGN, f"senders.{self.name}.key"),
            frozenset(self.suites),
            frozenset(self.channels),
            None if before is None else round(before.timestamp() * _MS_PER_S),
            None if after is None else round(after.timestamp() * _MS_PER_S),
            self.revoked,
        )


class InnerChannel(Section):
    """One channel as the inner accepts and delivers it."""

    name: Name = Field(description="Name of the channel, the same in the outer's policy.")
    sink: Name = Field(description="Name of the sink that gets its messages.")
    message_bytes_max: MessageBytes = Field(
        default=1024 * 1024, description="Largest message, in bytes."
    )
    attempts_max: Annotated[int, Strict(), Field(ge=0, le=1_000_000)] = Field(
        default=10,
        description="Refusals of the internal system after which a message becomes a dead letter; "
        "0 tries for ever. A system that is down or busy is not counted.",
    )
    retry_first_s: Seconds = Field(
        default=1.0, description="Seconds before the first retry; each next one waits twice as long"
    )
    retry_most_s: Seconds = Field(default=60.0, description="Longest wait between two tries.")
    on_gap: OnGap = Field(
        default="hold",
        description="When messages of this channel are missing: hold delivers none that comes "
        "after them until they came or an operator gave them up; continue delivers on, and marks "
        "late what comes late.",
    )
    order_by: OrderBy = Field(
        default="channel",
        description="What keeps its order while a message is retried: channel keeps all of it. An "
        "HL7 v2 component (PID-3, PID-3.1), a JSON pointer, an XML path (/patient/id), or / and "
        "the name of a form field or CSV column (of its first row) keeps that of messages with the "
        "same value there, so that one that is refused holds up no other "
        "patient's. Only a keyed digest of the value is stored.",
    )
    virus_scan: Switch = Field(
        default=False,
        description="Whether only messages that the virus scanner on this side calls clean are "
        "journaled, with every file in them. Needs scanner in inner.toml. Objects are scanned by "
        "the outer.",
    )
    deidentified: Switch = Field(
        default=False,
        description="Whether a message that still holds an identity number or a mobile number is "
        "refused, whatever the outer did to it. Of DICOM the texts are looked through; "
        "content.object cannot have it.",
    )
    content: ContentPolicy = Field(
        description="What is accepted: exactly one of the families hl7v2, json, fhir, xml, "
        "csv, form, dicom and object."
    )

    @property
    def bytes_max(self) -> int:
        """The largest message or object, in bytes."""
        objects = self.content.objects
        return self.message_bytes_max if objects is None else objects.bytes_max

    @model_validator(mode="after")
    def _objects_have_their_own_rules(self) -> Self:
        if self.content.objects is not None and "message_bytes_max" in self.model_fields_set:
            raise Mistake(
                "has message_bytes_max beside content.object or content.dicom, where it does "
                "nothing",
                "Remove it: bytes_max of content.object or content.dicom limits the size.",
            )
        return self

    @model_validator(mode="after")
    def _objects_are_scanned_outside(self) -> Self:
        if self.content.objects is not None and self.virus_scan:
            raise Mistake(
                "has virus_scan beside content.object or content.dicom: only parts of an object "
                "are seen here",
                "Remove it, and set virus_scan in the outer's policy.",
            )
        return self

    @model_validator(mode="after")
    def _files_can_be_scanned(self) -> Self:
        if self.virus_scan:
            check_scannable(self.content)
        return self

    @model_validator(mode="after")
    def _objects_are_not_looked_through(self) -> Self:
        if self.content.object_ is not None and self.deidentified:
            raise Mistake(
                "has deidentified, but its content is objects, which are not looked through",
                "Remove it.",
            )
        return self

    @model_validator(mode="after")
    def _waits_grow(self) -> Self:
        if self.retry_first_s > self.retry_most_s:
            raise Mistake(
                "has retry_first_s above retry_most_s", "Raise retry_most_s or lower the other."
            )
        return self

    @model_validator(mode="after")
    def _order_by_is_of_the_family(self) -> Self:
        is_pointer = self.order_by.startswith("/")
        content = self.content
        if self.order_by == "channel":
            return self
        if content.objects is not None:
            raise Mistake("has an order_by that its content does not have", "Remove order_by.")
        if is_pointer != (content.hl7v2 is None):
            raise Mistake(
                "has an order_by of another family than its content",
                "Write an HL7 v2 component (PID-3.1) for hl7v2, a JSON pointer for json and "
                "fhir, a path for xml, / and a column's or field's name for csv and form.",
            )
        names = [column.name for column in content.csv.columns] if content.csv else []
        names += [field.name for field in content.form.fields] if content.form else []
        if names and self.order_by.removeprefix("/") not in names:
            raise Mistake(
                "has an order_by that names no column or field of its content",
                f"Write / and one of: {', '.join(names[:10])}.",
            )
        return self

    @property
    def order_key_place(self) -> str | None:
        """Where the order key stands in a message; None if the channel orders all alike."""
        return None if self.order_by == "channel" else self.order_by


class InnerPolicy(Document):
    """policy.toml of the inner, written and signed by the security administrator."""

    version: Literal[1] = Field(description="Version of this file's format.")
    side: Literal["inner"] = Field(description="Which agent's policy this is.")
    lane: Name = Field(description="Name of the lane, the same in the outer's policy.")
    gap_wait_s: Seconds = Field(
        default=30.0,
        description="Seconds to wait for a missing ferry file before the gap is reported and what "
        "comes after it is taken.",
    )
    senders: tuple[SenderSection, ...] = Field(
        min_length=1, description="Whose ferry files are accepted; one [[senders]] table a key."
    )
    channels: tuple[InnerChannel, ...] = Field(
        min_length=1,
        max_length=limits.CHANNELS_MAX,
        description="What is accepted and where it goes; one [[channels]] table each.",
    )

    def schema_files(self) -> Iterator[SchemaFile]:
        """Every schema that the channels name."""
        for channel in self.channels:
            yield from channel.content.schema_files()

    def trusted_senders(self) -> tuple[TrustedSender, ...]:
        """The senders for the format's trust store, revoked ones included."""
        return tuple(sender.trusted() for sender in self.senders)


def load_policy(path: Path, security_admin_public: Path) -> InnerPolicy:
    """The signed policy at `path`. Raises Refused or ConfigurationError."""
    return load_signed(InnerPolicy, path, security_admin_public)
