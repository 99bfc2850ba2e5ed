"""Every reason for which the ferry refuses something: its code, its meaning, what to do.

One code serves as exception, quarantine reason, audit event, metric label and documentation.
Reasons are grouped by who must act (`Actor`). A code, once published, is never given another
meaning.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Actor(enum.Enum):
    """Who must act before the refused thing can pass."""

    SECURITY = "security"  # somebody or something forged, damaged or misdirected a file
    SENDER = "sender"  # the sending system must change its message
    RETRY = "retry"  # nobody: the same thing may pass later
    OPERATOR = "operator"  # the system administrator of this host


@dataclass(frozen=True, slots=True)
class Reason:
    """One refusal reason; `code` is stable and lower_snake_case."""

    code: str
    actor: Actor
    meaning: str
    action: str


class FerryError(Exception):
    """Base of every error that the ferry raises on purpose.

    `where` names the message, file, key or place concerned and never holds payload data.
    """

    def __init__(self, reason: Reason, where: str = "") -> None:
        super().__init__(f"{reason.code}: {reason.meaning}" + (f" ({where})" if where else ""))
        self.reason = reason
        self.where = where


class Refused(FerryError):
    """Refused for good: the same bytes will be refused again."""


class Unavailable(FerryError):
    """Not now: the same bytes may be tried again later."""


class StorageFault(FerryError):
    """A disk or medium did not do what it promised; the agent stops acknowledging."""


def _security(code: str, meaning: str, action: str) -> Reason:
    return Reason(code, Actor.SECURITY, meaning, action)


def _sender(code: str, meaning: str, action: str) -> Reason:
    return Reason(code, Actor.SENDER, meaning, action)


def _retry(code: str, meaning: str, action: str) -> Reason:
    return Reason(code, Actor.RETRY, meaning, action)


def _operator(code: str, meaning: str, action: str) -> Reason:
    return Reason(code, Actor.OPERATOR, meaning, action)


# --- The frame of a ferry file (SPEC.md, chapter 4); checked before any parser runs -------------

FILE_TOO_SHORT = _security(
    "file_too_short",
    "the file is shorter than the fixed frame",
    "Resend this sequence from the outer. If it recurs, look for a failing disk or a stranger.",
)
FILE_TOO_LARGE = _security(
    "file_too_large",
    "the file is larger than the format allows",
    "Find out who put it on the medium; the outer never writes such a file.",
)
BAD_MAGIC = _security(
    "bad_magic",
    "the file does not begin as a ferry file does",
    "Find out who put it on the medium.",
)
UNSUPPORTED_VERSION = _security(
    "unsupported_version",
    "the file's format version is not one that this program reads",
    "Upgrade the inner before the outer.",
)
UNSUPPORTED_SUITE = _security(
    "unsupported_suite",
    "no such cryptographic suite",
    "Upgrade the inner before the outer, or find out who put the file on the medium.",
)
BAD_FRAME = _security(
    "bad_frame",
    "a marker or length of the fixed frame is not what the format says",
    "Resend this sequence from the outer. If it recurs, look for a failing disk or a stranger.",
)
UNKNOWN_SENDER = _security(
    "unknown_sender",
    "no trusted key has the key id that the file names",
    "Trust the sender's key in the inner's policy, if it is the outer's; investigate otherwise.",
)
KEY_REVOKED = _security(
    "key_revoked",
    "the sender's key was revoked",
    "Rotate the outer to its new key; investigate if it already uses it.",
)
KEY_NOT_VALID_NOW = _security(
    "key_not_valid_now",
    "the sender's key is outside its period of validity",
    "Rotate the outer's key, or correct this host's clock.",
)
SUITE_NOT_ALLOWED = _security(
    "suite_not_allowed",
    "the sender's key is not trusted for this suite",
    "Investigate: nothing but a changed configuration or an attacker does this.",
)
WRONG_RECEIVER = _security(
    "wrong_receiver",
    "the file was sealed for another receiver's key",
    "Check which medium is mounted and which receiver key the outer's policy names.",
)
WRONG_LANE = _security(
    "wrong_lane",
    "the file belongs to another lane",
    "Check which medium is mounted and the lane's name in both policies.",
)
BAD_SIGNATURE = _security(
    "bad_signature",
    "the signature does not hold: the bytes are not what the sender signed",
    "Resend this sequence from the outer. If it recurs, look for a failing disk or a stranger.",
)

# --- The sealed content, after the signature holds (SPEC.md, chapters 5 and 6) ------------------

UNSEAL_FAILED = _security(
    "unseal_failed",
    "the file does not open with this receiver's private key",
    "Check that the inner has the private key that belongs to the receiver key of the policy.",
)
BAD_CONTENT = _security(
    "bad_content",
    "the sealed content is not the msgpack that the format defines",
    "The outer is faulty or not ours: compare its version, then its host.",
)
CONTENT_LIMIT = _security(
    "content_limit",
    "the sealed content passes a limit of the format",
    "The outer is faulty or not ours: compare its version, then its host.",
)
CONTENT_NOT_CANONICAL = _security(
    "content_not_canonical",
    "the sealed content is not in the one allowed encoding",
    "The outer is faulty or not ours: compare its version, then its host.",
)
TRAILING_BYTES = _security(
    "trailing_bytes",
    "bytes follow the sealed content or the frame",
    "The outer is faulty or not ours: compare its version, then its host.",
)
CHANNEL_NOT_AUTHORISED = _security(
    "channel_not_authorised",
    "the sender's key may not send on this channel",
    "Name the channel in the inner's policy, or investigate.",
)
OBJECT_BROKEN = _security(
    "object_broken",
    "parts of one object contradict each other, or its digest does not fit them",
    "The outer is faulty or not ours: compare its version, then its host.",
)
ENTRY_KIND_NOT_ALLOWED = _security(
    "entry_kind_not_allowed",
    "a part on a channel for messages, or a message on a channel for objects",
    "Compare the channel's content family in both policies; investigate if they agree.",
)
REBUILT_DIFFERENTLY = _security(
    "rebuilt_differently",
    "an object came with bytes that this side's own policy would have written differently",
    "Compare the channel's content in both policies: they must say the same. If they do, the outer "
    "did not rebuild it: look at that host.",
)
OBJECT_INCOMPLETE = _operator(
    "object_incomplete",
    "parts of the object never came, and the time to wait for them is over",
    "Have its sender send it again. Look at the gaps of that time: a resend would have brought it.",
)

# --- The stream (SPEC.md, chapter 7) ------------------------------------------------------------

UNKNOWN_STREAM = _security(
    "unknown_stream",
    "the sender began another stream than the one that is trusted",
    "If the outer was installed anew: ferry-inner streams accept. Investigate otherwise.",
)
SEQUENCE_REPLAYED = _security(
    "sequence_replayed",
    "a file with this sequence number was received before (the same one)",
    "Nothing: a resend does this. Investigate if nobody resent anything.",
)
SEQUENCE_REUSED = _security(
    "sequence_reused",
    "another file with this sequence number was received before",
    "Ask whether the outer was restored from an old backup: then begin a new stream there "
    "(ferry-outer new-stream). If not, its key is in other hands: revoke it.",
)
CHAIN_BROKEN = _security(
    "chain_broken",
    "the file does not follow the one before it",
    "Ask whether the outer was restored from an old backup: then begin a new stream there "
    "(ferry-outer new-stream). If not, its key is in other hands: revoke it.",
)
NAME_MISMATCH = _security(
    "name_mismatch",
    "the file's name is not the one that its stream and sequence give",
    "Find out who renamed it on the medium; resend this sequence.",
)

# --- The medium (SPEC.md, chapter 8) ------------------------------------------------------------

NOT_A_REGULAR_FILE = _security(
    "not_a_regular_file",
    "a link, pipe, device, socket or folder stands where a ferry file should",
    "Find out who put it on the medium.",
)
HARD_LINKED = _security(
    "hard_linked",
    "the file has a second name",
    "Find out who linked it; the outer never does.",
)
WRONG_OWNER = _security(
    "wrong_owner",
    "the file does not belong to the medium's owner",
    "Find out who put it on the medium.",
)
FILE_NOT_READABLE = _operator(
    "file_not_readable",
    "the receiver has no permission to read the file, or a folder on the way to it",
    "Give the inner's user or group the right to read; if the outer set the mode otherwise, find "
    "out who changed it.",
)
FILE_CHANGED = _security(
    "file_changed",
    "the file grew, shrank or changed while it was read",
    "Find out who writes to it; the outer publishes whole files only.",
)
FOREIGN_NAME = _security(
    "foreign_name",
    "a name that the medium's layout does not have",
    "Find out who put it on the medium. It was ignored.",
)
NAME_TAKEN = _operator(
    "name_taken",
    "another file of this outer, or what is no file, stands under its next file's name",
    "Stop any other outer that writes to this medium (a clone, a restored backup); without one, "
    "find out who put the file there. Move it off the medium, then start the agent.",
)
MEDIUM_UNREADABLE = _operator(
    "medium_unreadable",
    "the medium cannot be read",
    "Look whether it is mounted, and its modes.",
)

# --- Admission (outer) and policy (inner) -------------------------------------------------------

SENDER_UNKNOWN = _sender(
    "sender_unknown",
    "the sender could not be identified",
    "Use the certificate or API key that the policy names.",
)
SENDER_NOT_ALLOWED = _sender(
    "sender_not_allowed",
    "this sender may not use this channel",
    "Ask the security administrator to add the sender to the channel.",
)
CHANNEL_UNKNOWN = _sender(
    "channel_unknown",
    "there is no such channel",
    "Correct the channel's name, or ask the security administrator for the channel.",
)
MESSAGE_TOO_LARGE = _sender(
    "message_too_large",
    "the message is larger than the channel allows",
    "Send less, or ask the security administrator to raise the channel's limit.",
)
MESSAGE_EMPTY = _sender("message_empty", "the message has no content", "Send a message.")
LENGTH_REQUIRED = _sender(
    "length_required",
    "an object's length must be told before its bytes",
    "Send a Content-Length header instead of a chunked body.",
)
OBJECT_ABANDONED = _sender(
    "object_abandoned",
    "the object was not sent to its end, so what had crossed of it was withdrawn",
    "Send it again, whole.",
)
CONTENT_TYPE_NOT_ALLOWED = _sender(
    "content_type_not_allowed",
    "the declared content type is not the channel's",
    "Send the channel's content type.",
)
ID_REUSED = _sender(
    "id_reused",
    "this sender used the same message id for another message",
    "Give each message an id of its own.",
)
RATE_LIMITED = _retry(
    "rate_limited",
    "the sender passed the channel's rate",
    "Send it again later.",
)
OVERLOADED = _retry(
    "overloaded",
    "too many messages wait for the medium",
    "Send it again later.",
)
MEDIUM_FULL = _retry(
    "medium_full",
    "the medium or the spool has no room left",
    "Send it again later. Operator: start the inner, or make room.",
)
AUDIT_FULL = _retry(
    "audit_full",
    "the audit trail's disk has no room left, so nothing is taken that could not be recorded",
    "Send it again later. Operator: make room on the disk of audit.dir; it goes on by itself.",
)
MEDIUM_UNAVAILABLE = _retry(
    "medium_unavailable",
    "the medium or the spool cannot be written",
    "Send it again later. Operator: look at the medium's mount and the spool's disk.",
)
STOPPING = _retry("stopping", "the agent is shutting down", "Send it again later.")
VALIDATOR_UNAVAILABLE = _retry(
    "validator_unavailable",
    "no validation worker could take the message",
    "Send it again later. Operator: see the log for why workers end.",
)
SCANNER_UNAVAILABLE = _retry(
    "scanner_unavailable",
    "the virus scanner gave no verdict, and the channel lets nothing pass unscanned",
    "Send it again later. Operator: see that clamd or the ICAP server runs; ask the doctor.",
)
INTAKE_FAULT = _retry(
    "intake_fault",
    "the ferry itself failed on the message",
    "Send it again later. Operator: keep the log for the developers.",
)
FILE_UNREADABLE = _sender(
    "file_unreadable",
    "the agent may not read the file",
    "Drop the file again with a mode or group that lets the agent's user read it.",
)
FILE_NOT_PLAIN = _sender(
    "file_not_plain",
    "a link, pipe, device or socket, or a file with a second name, stands where a message should",
    "Drop a plain file with one name.",
)

# --- Validation ---------------------------------------------------------------------------------

NOT_DECODABLE = _sender(
    "not_decodable",
    "the bytes are not text in the declared or configured character set",
    "Correct MSH-18 or the channel's default character set.",
)
CHARSET_NOT_ALLOWED = _sender(
    "charset_not_allowed",
    "the declared character set is not one that the channel knows",
    "Send UTF-8 or GB18030, or ask for the character set.",
)
CONTROL_CHARACTER = _sender(
    "control_character",
    "a control or direction-changing character stands where none may",
    "Remove it.",
)
NOT_WELL_FORMED = _sender(
    "not_well_formed",
    "the message does not follow the grammar of its family",
    "Correct the message at the named place.",
)
HEADER_INCOMPLETE = _sender(
    "header_incomplete",
    "a header field that the channel requires is missing",
    "Fill the named field.",
)
BATCH_NOT_ALLOWED = _sender(
    "batch_not_allowed",
    "several messages, or a batch or file envelope around them, came where one message may",
    "Send each message by itself.",
)
BATCH_PARTLY_REFUSED = _sender(
    "batch_partly_refused",
    "messages of the batch were refused; the others crossed",
    "Correct the named messages and send them; those that crossed need not be sent again.",
)
ENCODING_NOT_ALLOWED = _sender(
    "encoding_not_allowed",
    "an XML message came on a channel for HL7 v2 with vertical bars",
    "Send it with vertical bars (ER7), or ask for a channel of the xml family.",
)
MESSAGE_TYPE_NOT_ALLOWED = _sender(
    "message_type_not_allowed",
    "the channel's whitelist does not name this message type",
    "Ask the security administrator to add the type, or use another channel.",
)
TRANSFER_SYNTAX_NOT_ALLOWED = _sender(
    "transfer_syntax_not_allowed",
    "the channel's whitelist does not name this DICOM transfer syntax",
    "Send the instance in another transfer syntax, or ask the security administrator to add it.",
)
VERSION_NOT_ALLOWED = _sender(
    "version_not_allowed",
    "the channel's whitelist does not name this version",
    "Send a version that the channel names.",
)
SEGMENT_NOT_ALLOWED = _sender(
    "segment_not_allowed",
    "the channel's whitelist does not name this segment",
    "Leave the segment out, or ask the security administrator to add it.",
)
FIELD_NOT_ALLOWED = _sender(
    "field_not_allowed",
    "the channel's whitelist does not name this field or column",
    "Leave it empty or out, or ask the security administrator to add it.",
)
FIELD_MISSING = _sender(
    "field_missing",
    "a field that the channel or the standard requires is empty or not there",
    "Fill the named field.",
)
VALUE_NOT_ALLOWED = _sender(
    "value_not_allowed",
    "a field holds what its channel's table does not name",
    "Send one of the table's values, or ask the security administrator to add this one.",
)
FORMULA_NOT_ALLOWED = _sender(
    "formula_not_allowed",
    "a field begins as a spreadsheet's formula does",
    "Write it without = + - @ at its beginning, or ask the security administrator to have such "
    "fields neutralised.",
)
DOCTYPE_NOT_ALLOWED = _sender(
    "doctype_not_allowed",
    "an XML message has a document type declaration, which may define entities",
    "Leave <!DOCTYPE> out.",
)
PROCESSING_INSTRUCTION_NOT_ALLOWED = _sender(
    "processing_instruction_not_allowed",
    "an XML message has a processing instruction, and its channel takes none",
    "Leave it out, or ask the security administrator to let the channel drop them.",
)
ELEMENT_NOT_ALLOWED = _sender(
    "element_not_allowed",
    "the channel's whitelist, or the standard, does not name this element, or not what it asks",
    "Leave the element out, or ask the security administrator to add it.",
)
ATTACHMENT_NOT_ALLOWED = _sender(
    "attachment_not_allowed",
    "a message holds a file, and its channel takes none, or none of this kind",
    "Send it without the file, or ask the security administrator to allow its type.",
)
FAULT_NOT_ALLOWED = _sender(
    "fault_not_allowed",
    "a SOAP fault came where a message may",
    "Send requests only: a fault answers one.",
)
SCHEMA_MISMATCH = _sender(
    "schema_mismatch",
    "the message does not satisfy the channel's schema or the standard's definitions",
    "Correct the named place.",
)
LIMIT_EXCEEDED = _sender(
    "limit_exceeded",
    "the message passes a limit on depth, count or length",
    "Split or shorten the message.",
)
DUPLICATE_KEY = _sender(
    "duplicate_key",
    "an object has the same key twice",
    "Send each key once.",
)
NUMBER_NOT_ALLOWED = _sender(
    "number_not_allowed",
    "a number is not finite or not exactly representable",
    "Send it as text, or with fewer digits.",
)
VIRUS_FOUND = _sender(
    "virus_found",
    "the virus scanner knows what the message or object holds",
    "Look at the sending system: what it sends is infected, or a signature is wrong.",
)
PATIENT_UNKNOWN = _sender(
    "patient_unknown",
    "de-identification moves a patient's dates, and the message names no patient, or several",
    "Send one patient's data in a message, with the patient's number, or ask the security "
    "administrator to have the dates cut to years.",
)
PERSONAL_DATA_LEFT = _sender(
    "personal_data_left",
    "the de-identified message still holds an identity or mobile number, or a name or number of "
    "its own people",
    "Leave it out, or ask the security administrator to have such texts blanked.",
)
WORKER_DIED = _sender(
    "worker_died",
    "the validation worker ended on this message (it crashed, hung or used too much memory)",
    "Keep the message for the developers; it is in quarantine or with its sender.",
)

# --- Delivery (inner) ---------------------------------------------------------------------------

SINK_REFUSED = _operator(
    "sink_refused",
    "the internal system refused the message for good",
    "Look at the internal system's log for this message id; then requeue or discard.",
)
SINK_BUSY = _retry(
    "sink_busy",
    "the internal system asked to try again later",
    "Nothing: the message is retried.",
)
SINK_FAILED = _retry(
    "sink_failed",
    "the internal system failed on this message and may take it later",
    "Look at the internal system's log for this message id if it recurs; the message is retried.",
)
SINK_UNREACHABLE = _retry(
    "sink_unreachable",
    "the internal system could not be reached",
    "Look whether it is up; the message is retried.",
)
SINK_NO_ANSWER = _retry(
    "sink_no_answer",
    "the internal system took the message and did not answer",
    "Nothing: the message is retried with the same id.",
)
SINK_BAD_ANSWER = _retry(
    "sink_bad_answer",
    "the internal system's answer is not one that the protocol defines",
    "Look at the internal system; the message is retried with the same id.",
)
DELIVERY_FAULT = _operator(
    "delivery_fault",
    "the ferry's own sink adapter failed on the message",
    "Keep the log for the developers; the message is retried.",
)
NOT_DELIVERABLE = _operator(
    "not_deliverable",
    "the message cannot be handed over: its stored payload does not open, or is none for its sink",
    "Check the journal key and the channel's sink; then requeue or discard.",
)
ATTEMPTS_EXHAUSTED = _operator(
    "attempts_exhausted",
    "the message failed as often as the channel's policy allows",
    "Mend the cause, then requeue or discard.",
)

# --- The slip (SPEC.md, chapter 11) --------------------------------------------------------------

BAD_SLIP = _operator(
    "bad_slip",
    "the slip cannot be read, or is another stream's",
    "Read or scan it again, letter by letter (ferry-inner gaps --slip); each outer takes its own.",
)

# --- Keys, configuration, storage ---------------------------------------------------------------

BAD_KEY_FILE = _operator(
    "bad_key_file",
    "the key file cannot be used",
    "Make it anew with ferry-keys generate, or restore it from backup.",
)
KEY_FILE_EXPOSED = _operator(
    "key_file_exposed",
    "a secret file can be read by others than its owner",
    "Set its mode to 0600 and its owner to the agent's user; rotate the key if others read it.",
)
POLICY_NOT_SIGNED = _operator(
    "policy_not_signed",
    "the policy does not carry a valid signature of the security administrator",
    "Have the security administrator sign it: ferry-keys sign-policy.",
)
JOURNAL_FULL = _operator(
    "journal_full",
    "the journal has reached its size limit or its disk is full, so nothing more is taken from the "
    "medium",
    "See why messages are not delivered, and give the journal room (its disk, journal.bytes_max); "
    "nothing is lost meanwhile.",
)
SPOOL_BEHIND = _operator(
    "spool_behind",
    "the spool is older than what this outer published: it was restored from a backup",
    "Begin a new stream (ferry-outer new-stream), start the agent, and have the inner's operator "
    "accept the stream (ferry-inner streams).",
)
ALREADY_RUNNING = _operator(
    "already_running",
    "another agent uses this state folder",
    "Stop it first, or give this agent a state_dir of its own.",
)
SANDBOX_MISSING = _operator(
    "sandbox_missing",
    "this host cannot lock validation workers in, and the configuration requires it",
    "Run the agent on a kernel with seccomp, outside containers that forbid it. The doctor shows "
    "what workers give up here.",
)
BACKUP_FAILED = _operator(
    "backup_failed",
    "the backup could not be taken",
    "Make room where it goes, or look at the disk that is named. The agent is not touched by it.",
)
BAD_BACKUP = _operator(
    "bad_backup",
    "the backup is incomplete, damaged, or not one of this side",
    "Nothing was restored. Take an older backup; do not mend this one by hand.",
)
STORAGE_FAILED = _operator(
    "storage_failed",
    "a durable write failed, so nothing more is acknowledged",
    "Look at the disk named in the log, then restart the agent.",
)


def _collect() -> dict[str, Reason]:
    table: dict[str, Reason] = {}
    for value in list(globals().values()):
        if isinstance(value, Reason):
            if value.code in table:
                message = f"reason code {value.code} stands twice"
                raise AssertionError(message)
            table[value.code] = value
    return table


BY_CODE: dict[str, Reason] = _collect()
