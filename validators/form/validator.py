"""One form channel: its fields and limits, applied to each message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    CONTROL_CHARACTER,
    FIELD_MISSING,
    FIELD_NOT_ALLOWED,
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    MESSAGE_EMPTY,
    Refused,
)
from validators import text_fields
from validators.characters import find_forbidden
from validators.form import pairs
from validators.judging import judge
from validators.order_key import digest_of
from validators.verdict import Accepted, Verdict

if TYPE_CHECKING:
    from validators.policy import FormPolicy

CONTENT_TYPE: Final = "application/x-www-form-urlencoded"
CONTROL_ID_CHARS_MAX: Final = 199
_CODECS: Final = {"UTF-8": "utf-8", "GB18030": "gb18030"}


class FormValidator:
    """A channel's fields, prepared once. Raises SchemaError if a pattern cannot serve."""

    def __init__(self, policy: FormPolicy, order_by: str | None = None) -> None:
        self._policy = policy
        self._codec = _CODECS[policy.charset]
        self._order_by = None if order_by is None else order_by.removeprefix("/")
        self._rules = [
            (field, text_fields.rule_of(field, f"field {field.name}")) for field in policy.fields
        ]

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        values = self._by_name(pairs.read(payload, self._codec))
        for field, rule in self._rules:
            texts = values[field.name]
            if field.required and not texts:
                raise Refused(FIELD_MISSING, field.name)
            if len(texts) > field.repetitions_max:
                place = f"{field.name}: more than {field.repetitions_max} times"
                raise Refused(LIMIT_EXCEEDED, place)
            for text in texts:
                text_fields.check(text, field, rule, field.name)
        control_id = self._control_id(values)
        accepted = payload
        if self._policy.fidelity == "rebuilt":
            accepted = self._written(values)
        return Accepted(accepted, self._policy.message_type, control_id, self._order_key(values))

    def _by_name(self, sent: list[pairs.Pair]) -> dict[str, list[str]]:
        """Each declared field's values in their order, the fields in the declared one."""
        values: dict[str, list[str]] = {field.name: [] for field in self._policy.fields}
        strips = self._policy.unknown_fields == "strip"
        for number, (name, value) in enumerate(sent, 1):
            if name not in values:
                if not strips:
                    raise Refused(FIELD_NOT_ALLOWED, f"field {number}")
                continue
            if find_forbidden(value) is not None:
                raise Refused(CONTROL_CHARACTER, name)
            values[name].append(value)
        return values

    def _written(self, values: dict[str, list[str]]) -> bytes:
        written = pairs.write(
            [(name, each) for name in values for each in values[name]], self._codec
        )
        if not written:
            raise Refused(MESSAGE_EMPTY, "no declared field")
        return written

    def _control_id(self, values: dict[str, list[str]]) -> str | None:
        name = self._policy.control_id
        if name is None:
            return None
        if not values[name] or not values[name][0]:
            raise Refused(HEADER_INCOMPLETE, name)
        if len(values[name][0]) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, name)
        return values[name][0]

    def _order_key(self, values: dict[str, list[str]]) -> bytes | None:
        texts = [] if self._order_by is None else values[self._order_by]
        return digest_of(texts[0]) if texts and texts[0] else None
