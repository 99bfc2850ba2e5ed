"""Forms as slots: by field name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from validators.deidentify.slots import Part, Slot
from validators.form import pairs

if TYPE_CHECKING:
    from validators.policy import FormPolicy
    from validators.policy.deidentify import DeidentificationPolicy

_CODECS: Final = {"UTF-8": "utf-8", "GB18030": "gb18030"}


class FormFamily:
    """Where persons stand in the fields of one channel. The policy names every field."""

    def __init__(self, policy: DeidentificationPolicy, content: FormPolicy) -> None:
        self._kinds = {place.at: place.holds for place in policy.places}
        self._patient = policy.patient
        self._codec = _CODECS[content.charset]

    def open(self, payload: bytes) -> FormDocument:
        """Parse an accepted message."""
        sent: list[pairs.Pair | None] = list(pairs.read(payload, self._codec))
        slots = [
            Slot(each[0], self._kinds[each[0]], each[1], partial(_put, sent, index))
            for index, each in enumerate(sent)
            if each is not None and each[1] and self._kinds[each[0]] != "keep"
        ]
        patients = {each[1] for each in sent if each and each[0] == self._patient and each[1]}
        return FormDocument(sent, Part(slots, patients), self._codec)


class FormDocument:
    """One message; what is put into its slots stands in `write`."""

    def __init__(self, sent: list[pairs.Pair | None], part: Part, codec: str) -> None:
        self.parts = (part,)
        self._sent = sent
        self._codec = codec

    def write(self) -> bytes:
        """The message as it stands now."""
        return pairs.write([each for each in self._sent if each is not None], self._codec)


def _put(sent: list[pairs.Pair | None], index: int, value: str | None) -> None:
    old = sent[index]
    assert old is not None
    sent[index] = None if value is None else (old[0], value)
