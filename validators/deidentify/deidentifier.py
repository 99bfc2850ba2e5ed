"""One channel's de-identification: from a message to one that says less, both of them judged.

1 the channel's own validator judges the message; 2 the family shows its slots; 3 whose message it
is; 4 its names and numbers are remembered; 5 each slot gets what its kind's method gives; 6 texts
that stay are looked through; 7 the validator judges what came out; 8 that is looked through as a
whole. Whatever fails on the way refuses the message.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import PERSONAL_DATA_LEFT, Refused
from validators.deidentify import leftovers
from validators.deidentify.dates import WrittenDate
from validators.deidentify.leftovers import Traces
from validators.deidentify.methods import BLANK, Subject, subject_of
from validators.verdict import Accepted, Rejected, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from validators.deidentify.keyed import Keyed
    from validators.deidentify.methods import Methods
    from validators.deidentify.slots import Family, Part, Slot
    from validators.policy.deidentify import DeidentificationPolicy, Kind
    from validators.verdict import Validator

_NUMBERS: Final[frozenset[Kind]] = frozenset({"identity", "internal"})


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one slot; `found` is what the scan saw in a text. Holds no value."""

    place: str
    kind: Kind
    method: str
    gone: bool
    found: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examination:
    """What was done to a message, and the verdict on it."""

    changes: tuple[Change, ...]
    verdict: Verdict


class Deidentifier:
    """Judges like a validator, and passes on what may leave."""

    def __init__(
        self,
        policy: DeidentificationPolicy,
        family: Family,
        methods: Methods,
        keyed: Keyed,
        validator: Validator,
        text_of: Callable[[bytes], str],
    ) -> None:
        """`validator` is the channel's own; `text_of` gives a payload's text."""
        self._policy = policy
        self._family = family
        self._methods = methods
        self._keyed = keyed
        self._validator = validator
        self._text_of = text_of

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on: the family's."""
        return self._validator.content_type

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes; de-identify what is accepted and judge what came out."""
        return self.examine(payload).verdict

    def examine(self, payload: bytes) -> Examination:
        """The verdict, and what was done to the message on the way."""
        verdict = self._validator.validate(payload)
        if isinstance(verdict, Rejected):
            return Examination((), verdict)
        changes: list[Change] = []
        try:
            document = self._family.open(verdict.payload)
            traces = _traces_in(document.parts)
            for part in document.parts:
                changes += self._changes(part, traces)
            verdict = self._judged(document.write(), traces, changes)
        except Refused as refused:
            verdict = Rejected(refused.reason, refused.where)
        return Examination(tuple(changes), verdict)

    def _changes(self, part: Part, traces: Traces) -> list[Change]:
        """Put into each slot what stands for its value. Raises Refused(PATIENT_UNKNOWN)."""
        subject = self._subject(part)
        return [
            self._text(slot, traces) if slot.kind == "text" else self._value(slot, subject)
            for slot in part.slots
        ]

    def _subject(self, part: Part) -> Subject:
        return subject_of(
            self._policy,
            self._keyed,
            part.patients,
            part.moment or _first_day(part.slots),
            has_dates=_has_dates(part.slots),
        )

    def _value(self, slot: Slot, subject: Subject) -> Change:
        new = self._methods.apply(slot.kind, slot.value, subject, slot.form)
        slot.put(new)
        return Change(slot.place, slot.kind, self._methods.name_of(slot.kind), new is None)

    def _text(self, slot: Slot, traces: Traces) -> Change:
        found = leftovers.kinds_in(slot.value, traces)
        if not found:
            return Change(slot.place, slot.kind, "keep", gone=False)
        if self._policy.leftovers == "blank":
            slot.put(BLANK)
        return Change(slot.place, slot.kind, self._policy.leftovers, gone=False, found=found)

    def _judged(self, payload: bytes, traces: Traces, changes: Sequence[Change]) -> Verdict:
        found = next((each for each in changes if each.found), None)
        if found is not None and self._policy.leftovers == "refuse":
            raise Refused(PERSONAL_DATA_LEFT, f"{found.place}: {', '.join(found.found)}")
        verdict = self._validator.validate(payload)
        if isinstance(verdict, Rejected):
            raise Refused(verdict.reason, f"{verdict.place} (once de-identified)")
        flagged: set[str] = set()
        if self._policy.leftovers == "flag":
            flagged.update(*(each.found for each in changes))
        left = leftovers.kinds_in(self._text_of(verdict.payload), traces.whole())
        if not flagged.issuperset(left):
            raise Refused(PERSONAL_DATA_LEFT, ", ".join(left))
        return replace(verdict, flag=PERSONAL_DATA_LEFT if flagged else None)


class LeftoverCheck:
    """A validator that also looks through what it accepts: the inner's own look, without a key."""

    def __init__(self, validator: Validator, text_of: Callable[[bytes], str]) -> None:
        self._validator = validator
        self._text_of = text_of

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return self._validator.content_type

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        verdict = self._validator.validate(payload)
        if isinstance(verdict, Accepted):
            left = leftovers.kinds_in(self._text_of(verdict.payload))
            if left:
                return Rejected(PERSONAL_DATA_LEFT, ", ".join(left))
        return verdict


def _traces_in(parts: Sequence[Part]) -> Traces:
    """The names and numbers of all persons in a message."""
    people: defaultdict[int, list[str]] = defaultdict(list)
    single: list[str] = []
    numbers: list[str] = []
    for part in parts:
        for slot in part.slots:
            if slot.kind == "name":
                (people[slot.owner] if slot.owner else single).append(slot.value)
            elif slot.kind in _NUMBERS:
                numbers.append(slot.value)
    patients = [number for part in parts for number in part.patients]
    return Traces.of(
        [*people.values(), *([each] for each in single)], [*numbers, *patients], patients
    )


def _has_dates(slots: Sequence[Slot]) -> bool:
    return any(slot.kind == "date" for slot in slots)


def _first_day(slots: Sequence[Slot]) -> str | None:
    for slot in slots:
        if slot.kind == "date":
            written = WrittenDate.read(slot.value)
            if written is not None and written.has_day and not written.is_open:
                return slot.value
    return None
