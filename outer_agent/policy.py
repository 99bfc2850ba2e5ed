"""The security administrator's file of the outer agent, policy.toml: who may send what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from ferry_format import keys, limits
from ferry_format.keys import KeyKind, PublicKey
from ferry_runtime.configuration import Document, Section
from ferry_runtime.policy import load_signed
from ferry_runtime.problem_words import Mistake
from ferry_runtime.scanner.scannable import check_scannable
from ferry_runtime.setting_types import AeTitle, Name, ReceiveToken, Sha256Hex, Switch, Text
from validators.policy import ContentPolicy, DeidentificationPolicy, SchemaFile
from validators.policy.deidentify_fit import misfits
from validators.policy.terms import matches

MessageBytes = Annotated[int, Strict(), Field(ge=1, le=limits.MESSAGE_BYTES_MAX)]
ElementName = Annotated[
    str,
    matches(
        r"\{[^{}\s<>&]*\}[A-Za-z_][A-Za-z0-9_.-]{0,99}",
        "write an element as {namespace}name, or {}name for one without a namespace",
    ),
]
BatchMessages = Annotated[int, Strict(), Field(ge=1, le=10_000)]


class ReceiverSection(Section):
    """For whom ferry files are sealed."""

    key: ReceiveToken = Field(
        description="The inner's public key, ferry-receive-1:… (ferry-keys show, or trust)."
    )

    @property
    def public_key(self) -> PublicKey:
        """The key itself."""
        return keys.parse_token(self.key, KeyKind.RECEIVE, "receiver.key")


class SenderSection(Section):
    """A system that may send, and how it is known. At least one of the four ways."""

    name: Name = Field(description="Name of the sending system.")
    api_keys_sha256: tuple[Sha256Hex, ...] = Field(
        default=(),
        description="SHA-256 of each of its HTTP API keys, 64 hex digits (ferry-keys api-key). "
        "Two during a change of keys.",
    )
    tls_names: tuple[Text, ...] = Field(
        default=(),
        description="DNS names in its client certificates (subjectAltName), at sources with "
        "tls_client_ca.",
    )
    ae_titles: tuple[AeTitle, ...] = Field(
        default=(),
        description="Its calling AE titles at DICOM sources. A title proves nothing: name the "
        "peers of the source too, or use tls_client_ca.",
    )
    listeners: tuple[Name, ...] = Field(
        default=(),
        description="Names of sources of which every peer is this sender: for systems that can "
        "show neither key nor certificate.",
    )

    @model_validator(mode="after")
    def _is_known_somehow(self) -> Self:
        if not (self.api_keys_sha256 or self.tls_names or self.ae_titles or self.listeners):
            raise Mistake(
                "cannot be identified by anything",
                "Give it api_keys_sha256, tls_names, ae_titles or listeners.",
            )
        return self


class SoapReplySection(Section):
    """How HTTP sources answer a SOAP call: with an MCCI_IN000002UV01 as text in one element."""

    response: ElementName = Field(
        default="{urn:hl7-org:v3}HIPMessageServerResponse",
        description="The element in the SOAP body, as {namespace}name.",
    )
    result: ElementName = Field(
        default="{urn:hl7-org:v3}payload",
        description="The element in it that holds the message; {}name for one without namespace.",
    )


class OuterChannel(Section):
    """One channel as the outer admits messages to it."""

    name: Name = Field(description="Name of the channel, the same in the inner's policy.")
    senders: tuple[Name, ...] = Field(
        min_length=1, description="Names of the senders that may use it."
    )
    message_bytes_max: MessageBytes = Field(
        default=1024 * 1024, description="Largest message, in bytes."
    )
    rate_per_s: Annotated[float, Strict(), Field(gt=0, le=1_000_000)] | None = Field(
        default=None,
        description="Messages a second that one sender may send in the long run. "
        "Left out: no limit.",
    )
    burst: Annotated[int, Strict(), Field(ge=1, le=1_000_000)] | None = Field(
        default=None,
        description="Messages that one sender may send at once under rate_per_s. Left out: what "
        "rate_per_s gives in a second, and at least 1.",
    )
    same_id_other_bytes: Literal["new", "refuse"] = Field(
        default="new",
        description="What becomes of a message that has the id of an earlier one of the same "
        "sender (MSH-10, Idempotency-Key, file name) but other bytes.",
    )
    batches: Literal["refuse", "split"] = Field(
        default="refuse",
        description="What becomes of HL7 v2 batches (FHS, BHS): split takes each of their messages "
        "by itself, and answers for each.",
    )
    batch_trailers: Literal["required", "optional"] = Field(
        default="required",
        description="Whether a batch must end with BTS, and a file of batches with FTS. Without "
        "them nobody can tell that one was cut off.",
    )
    batch_messages_max: BatchMessages = Field(default=500, description="Most messages in a batch.")
    batch_bytes_max: MessageBytes = Field(
        default=4 * 1024 * 1024, description="Largest batch, in bytes."
    )
    soap_reply: SoapReplySection | None = Field(
        default=None,
        description="Where it stands, HTTP sources answer in SOAP instead of JSON.",
    )
    virus_scan: Switch = Field(
        default=False,
        description="Whether only what the virus scanner calls clean is published: each message "
        "and every file in it, each object. Needs scanner in outer.toml.",
    )
    deidentification: DeidentificationPolicy | None = Field(
        default=None,
        description="What becomes of personal data in each message before it is published; "
        "left out, nothing does. Needs deidentification in outer.toml.",
    )
    content: ContentPolicy = Field(
        description="What may cross: exactly one of the families hl7v2, json, fhir, xml, csv, "
        "form, dicom and object."
    )

    @property
    def takes_objects(self) -> bool:
        """Whether the channel carries objects, in parts, and no messages."""
        return self.content.objects is not None

    @property
    def bytes_max(self) -> int:
        """The largest message or object, in bytes."""
        objects = self.content.objects
        return self.message_bytes_max if objects is None else objects.bytes_max

    @property
    def splits_batches(self) -> bool:
        """Whether HL7 v2 batches are taken apart."""
        return self.batches == "split"

    @property
    def read_bytes_max(self) -> int:
        """How much a source needs to read of one payload before it may stop, in bytes."""
        return max(self.bytes_max, self.batch_bytes_max) if self.splits_batches else self.bytes_max

    @model_validator(mode="after")
    def _batches_are_hl7(self) -> Self:
        if self.splits_batches and self.content.hl7v2 is None:
            raise Mistake("splits batches that its content does not have", "Remove batches.")
        idle = {"batch_messages_max", "batch_bytes_max", "batch_trailers"} & self.model_fields_set
        if idle and not self.splits_batches:
            raise Mistake(
                f'has {min(idle)} without batches = "split", where it does nothing',
                'Add batches = "split", or remove it.',
            )
        return self

    @model_validator(mode="after")
    def _soap_is_answered_where_it_is_taken(self) -> Self:
        xml = self.content.xml
        if self.soap_reply is not None and (xml is None or xml.soap != "strip"):
            raise Mistake(
                "answers in SOAP, and takes none",
                'Add soap = "strip" to content.xml, or remove soap_reply.',
            )
        return self

    @model_validator(mode="after")
    def _a_batch_fits_the_rate(self) -> Self:
        if (
            self.splits_batches
            and self.rate_per_s is not None
            and self.burst_messages < self.batch_messages_max
        ):
            raise Mistake(
                f"lets {self.burst_messages:g} messages through at once, fewer than a batch may "
                f"hold ({self.batch_messages_max})",
                "Raise burst, or lower batch_messages_max: a batch is taken whole or not now.",
            )
        return self

    @property
    def burst_messages(self) -> float:
        """How many messages one sender may send at once, where rate_per_s is set."""
        return self.burst or max(1.0, self.rate_per_s or 0.0)

    @model_validator(mode="after")
    def _objects_have_their_own_rules(self) -> Self:
        idle = {"message_bytes_max", "same_id_other_bytes"} & self.model_fields_set
        if self.takes_objects and idle:
            raise Mistake(
                f"has {min(idle)} beside content.object or content.dicom, where it does nothing",
                "Remove it: bytes_max of content.object or content.dicom limits the size, and an "
                "object that has an earlier one's id but other bytes is always refused.",
            )
        return self

    @model_validator(mode="after")
    def _files_can_be_scanned(self) -> Self:
        if self.virus_scan:
            check_scannable(self.content)
        return self

    @model_validator(mode="after")
    def _deidentification_fits(self) -> Self:
        if self.deidentification is not None:
            for problem, action in misfits(self.deidentification, self.content):
                raise Mistake(f"has a deidentification that {problem}", action)
        return self

    @model_validator(mode="after")
    def _burst_needs_a_rate(self) -> Self:
        if self.burst is not None and self.rate_per_s is None:
            raise Mistake("has a burst without rate_per_s", "Add rate_per_s, or remove burst.")
        return self


class OuterPolicy(Document):
    """policy.toml of the outer, written and signed by the security administrator."""

    version: Literal[1] = Field(description="Version of this file's format.")
    side: Literal["outer"] = Field(description="Which agent's policy this is.")
    lane: Name = Field(description="Name of the lane, the same in the inner's policy.")
    receiver: ReceiverSection = Field(description="For whom ferry files are sealed.")
    senders: tuple[SenderSection, ...] = Field(
        min_length=1, description="Who may send; one [[senders]] table each."
    )
    channels: tuple[OuterChannel, ...] = Field(
        min_length=1,
        max_length=limits.CHANNELS_MAX,
        description="What may be sent; one [[channels]] table each.",
    )

    def schema_files(self) -> Iterator[SchemaFile]:
        """Every schema that the channels name."""
        for channel in self.channels:
            yield from channel.content.schema_files()


def load_policy(path: Path, security_admin_public: Path) -> OuterPolicy:
    """The signed policy at `path`. Raises Refused or ConfigurationError."""
    return load_signed(OuterPolicy, path, security_admin_public)
