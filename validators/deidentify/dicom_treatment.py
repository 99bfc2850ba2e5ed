"""The second pass: each element gets what its row says, and what was done is written into the file.

The elements that say so (PS3.15, E.1.1 and E.3.6) replace those that came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, PERSONAL_DATA_LEFT, Refused
from validators.deidentify import leftovers
from validators.deidentify.deidentifier import Change
from validators.deidentify.dicom_table import ENCAPSULATED_DOCUMENT, Absent, Rule, Table
from validators.deidentify.methods import BLANK
from validators.deidentify.slots import Form
from validators.dicom import dictionary, encoding
from validators.dicom.dictionary import ITEM, ITEM_END, SEQUENCE_END, name_of
from validators.dicom.encoding import UNDEFINED
from validators.dicom.treatment import Fate, Untreated, Value, Written
from validators.dicom.values import BULK
from validators.policy.deidentify import DicomProfilePolicy

if TYPE_CHECKING:
    from collections.abc import Collection

    from validators.deidentify.keyed import Keyed
    from validators.deidentify.leftovers import Traces
    from validators.deidentify.methods import Methods, Subject
    from validators.dicom.state import Level
    from validators.policy.deidentify import DeidentificationPolicy

_REMOVED: Final = dictionary.tag_of("PatientIdentityRemoved")
_METHOD: Final = dictionary.tag_of("DeidentificationMethod")
_CODES: Final = dictionary.tag_of("DeidentificationMethodCodeSequence")
_TIME: Final = dictionary.tag_of("LongitudinalTemporalInformationModified")
_OURS: Final = frozenset({_REMOVED, _METHOD, _CODES, _TIME})
_METHOD_TEXT: Final = "PS3.15 2026c table E.1-1"
_BASIC: Final = ("113100", "Basic Application Confidentiality Profile")
_STRUCTURED: Final = ("113104", "Clean Structured Content Option")
_DESCRIPTORS: Final = ("113105", "Clean Descriptors Option")
_DATES: Final = (
    "113107",
    "Retain Longitudinal Temporal Information Modified Dates Option",
)
_CHARACTERISTICS: Final = ("113108", "Retain Patient Characteristics Option")

_DUMMIES: Final = {
    "AE": "ANONYMOUS",
    "AS": "000Y",
    "CS": "ANONYMOUS",
    "DA": "00010101",
    "DT": "00010101",
    "TM": "000000",
}
_DUMMY_TEXTS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
_ONE_VALUE: Final = frozenset({"LT", "ST", "UR", "UT"})
_FORMS: Final = {"DA": Form.DAY, "DT": Form.DATE}
_STANDARD_UIDS: Final = "1.2.840.10008."
_LOOKED_AT: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UI", "UR", "UT"})


class Rewriting:
    """A treatment. `changes` and `flagged` tell what was done; both grow."""

    def __init__(
        self,
        policy: DeidentificationPolicy,
        table: Table,
        methods: Methods,
        keyed: Keyed,
        subject: Subject,
        traces: Traces,
    ) -> None:
        self._policy = policy
        self._table = table
        self._methods = methods
        self._keyed = keyed
        self._subject = subject
        self._traces = traces
        self.changes: list[Change] = []
        self.flagged: set[str] = set()

    def fate(self, tag: int, representation: str) -> Fate:
        """What the table says. Raises Refused(ATTACHMENT_NOT_ALLOWED) for a document."""
        if tag in _OURS:
            return Fate.LEFT_OUT
        if tag == ENCAPSULATED_DOCUMENT and self._policy.files == "refuse":
            raise Refused(ATTACHMENT_NOT_ALLOWED, name_of(tag))
        rule = self._table.rule(tag, representation)
        if rule.kind != "remove":
            return Fate.CROSSES
        if rule.absent is Absent.LEFT_OUT:
            self._note(tag, rule, is_gone=True)
            return Fate.LEFT_OUT
        if representation in BULK or representation == "SQ":
            self._note(tag, rule, is_gone=True)
            return Fate.EMPTIED
        return Fate.CROSSES

    def value(self, found: Value) -> Written | None:
        """What stands for a value."""
        rule = self._table.rule(found.tag, found.representation)
        if rule.kind == "keep" or not found.text or _is_standard(found, rule):
            return found.data, found.text
        if rule.kind == "text":
            return self._looked_at(found, rule)
        one_only = found.representation in _ONE_VALUE
        values = [found.text] if one_only else found.text.split("\\")
        new = [self._applied(rule, found.representation, each.strip()) for each in values]
        is_gone = not any(new)
        self._note(found.tag, rule, is_gone=is_gone)
        if is_gone:
            return _absent(rule.absent, found.representation)
        written = _encoded("\\".join(each or "" for each in new), found)
        return written or _absent(rule.absent, found.representation)

    def inserted(self, level: Level, behind: int, before: int) -> bytes:
        """The elements that say what was done."""
        return b"".join(self._own(level, tag) for tag in sorted(_OURS) if behind < tag <= before)

    def _applied(self, rule: Rule, representation: str, value: str) -> str | None:
        if not value:
            return None
        if rule.kind == "uid":
            return self._keyed.uid(value)
        if representation == "TM" and rule.kind == "date":
            return value if self._subject.shift_days is not None else None
        form = _FORMS.get(representation, Form.TEXT)
        return self._methods.apply(rule.kind, value, self._subject, form)

    def _looked_at(self, found: Value, rule: Rule) -> Written | None:
        left = leftovers.kinds_in(found.text, self._traces)
        if not left:
            return found.data, found.text
        place, leftovers_are = name_of(found.tag), self._policy.leftovers
        self.changes.append(Change(place, rule.kind, leftovers_are, gone=False, found=left))
        if leftovers_are == "refuse":
            raise Refused(PERSONAL_DATA_LEFT, f"{place}: {', '.join(left)}")
        if leftovers_are == "blank":
            return _padded(BLANK)
        self.flagged.update(left)
        return found.data, found.text

    def _note(self, tag: int, rule: Rule, *, is_gone: bool) -> None:
        method = self._methods.name_of(rule.kind)
        self.changes.append(Change(name_of(tag), rule.kind, method, gone=is_gone))

    # --- the elements that say what was done

    def _own(self, level: Level, tag: int) -> bytes:
        if tag == _CODES:
            items = b"".join(_code(level, *code) for code in self._codes())
            end = encoding.delimiter(level, SEQUENCE_END, 0)
            return encoding.header_bytes(level, tag, "SQ", UNDEFINED) + items + end
        is_removed = self._policy.dates == "remove"
        text = {
            _REMOVED: "YES",
            _METHOD: _METHOD_TEXT + (", changed by channel" if self._policy.places else ""),
            _TIME: "REMOVED" if is_removed else "MODIFIED",
        }[tag]
        return _element(level, tag, "LO" if tag == _METHOD else "CS", text)

    def _codes(self) -> list[tuple[str, str]]:
        """Of CID 7050; the profile itself only where the channel judges no place otherwise."""
        profile = self._policy.dicom or DicomProfilePolicy()
        return [
            *([] if self._policy.places else [_BASIC]),
            _STRUCTURED,
            *([_DESCRIPTORS] if profile.descriptors == "clean" else []),
            *([_DATES] if self._policy.dates != "remove" else []),
            *([_CHARACTERISTICS] if profile.characteristics == "keep" else []),
        ]


class LookingThrough(Untreated):
    """A treatment that changes nothing, and refuses texts in which something personal is left."""

    def __init__(
        self, traces: Traces = leftovers.NOTHING, flagged: Collection[str] = frozenset()
    ) -> None:
        """`flagged` kinds are let pass."""
        self._traces = traces
        self._flagged = frozenset(flagged)

    def value(self, found: Value) -> Written | None:
        """The value as it is. Raises Refused(PERSONAL_DATA_LEFT)."""
        if found.text and found.representation in _LOOKED_AT:
            left = leftovers.kinds_in(found.text, self._traces)
            if not self._flagged.issuperset(left):
                raise Refused(PERSONAL_DATA_LEFT, f"{name_of(found.tag)}: {', '.join(left)}")
        return found.data, found.text


def _is_standard(found: Value, rule: Rule) -> bool:
    """Whether a value is the UID of a class or a code list, and no instance's."""
    is_named = rule.kind == "uid" and not rule.is_listed
    return is_named and all(each.startswith(_STANDARD_UIDS) for each in found.text.split("\\"))


def _absent(absent: Absent, representation: str) -> Written | None:
    if absent is Absent.LEFT_OUT:
        return None
    dummy = BLANK if representation in _DUMMY_TEXTS else _DUMMIES.get(representation, "")
    return _padded(dummy if absent is Absent.DUMMY else "")


def _encoded(text: str, found: Value) -> Written | None:
    """The text in the value's first character set; None if that has no such character."""
    try:
        data = text.encode(found.codecs[0])
    except UnicodeError:
        return None
    padding = b"\0" if found.representation == "UI" else b" "
    return data + padding * (len(data) % 2), text


def _padded(text: str) -> Written:
    data = text.encode("ascii")
    return data + b" " * (len(data) % 2), text


def _element(level: Level, tag: int, code: str, text: str) -> bytes:
    data, _ = _padded(text)
    return encoding.header_bytes(level, tag, code, len(data)) + data


def _code(level: Level, value: str, meaning: str) -> bytes:
    return (
        encoding.delimiter(level, ITEM, UNDEFINED)
        + _element(level, dictionary.tag_of("CodeValue"), "SH", value)
        + _element(level, dictionary.tag_of("CodingSchemeDesignator"), "SH", "DCM")
        + _element(level, dictionary.tag_of("CodeMeaning"), "LO", meaning)
        + encoding.delimiter(level, ITEM_END, 0)
    )
