"""Whether a channel's de-identification fits its content: what only the two together can show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from validators.policy.content import ContentPolicy
    from validators.policy.deidentify import DeidentificationPolicy
    from validators.policy.dicom import DicomPolicy

_STEP: Final = r"/(\{[^{}]*\})?[^/{}@*\s]+"
_GRAMMARS: Final = {
    "hl7v2": (
        r"[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(\.[1-9][0-9]?)?",
        "a field or component, as PID-5 or PID-3.1",
    ),
    "fhir": (
        r"[A-Z][A-Za-z]*(\.[A-Za-z][A-Za-z0-9]*)+|[a-z]+:\S+",
        "an element, as Patient.name, or an extension's URL",
    ),
    "xml": (
        rf"({_STEP})+(/@(\{{[^{{}}]*\}})?[^/{{}}@*\s]+|/\*\*)?",
        "a path, as /order/patient/name, /order/@id or /order/items/**",
    ),
    "json": (r"(/([^~/]|~[01])*)+", "a JSON pointer, as /patient/name, /items/*/code or /items/**"),
    "dicom": (r"[A-Z][A-Za-z0-9]{1,99}", "an element's keyword, as PatientName"),
}

_WRITTEN: Final = frozenset(
    {
        *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
        *("LongitudinalTemporalInformationModified", "CodeValue", "CodingSchemeDesignator"),
        "CodeMeaning",
    }
)
"""Elements of DICOM that say what was done."""

_DEIDENTIFIED: Final = frozenset({*_GRAMMARS, "csv", "form"})


def misfits(policy: DeidentificationPolicy, content: ContentPolicy) -> Iterator[tuple[str, str]]:
    """Each problem, and what to do."""
    family, model = content.family
    if family not in _DEIDENTIFIED:
        yield f"stands beside content.{family}", "Remove it: this family is not de-identified."
        return
    if getattr(model, "fidelity", None) == "verbatim":
        yield "changes messages that cross verbatim", 'Set fidelity to "rebuilt", or remove it.'
    yield from _bad_places(policy, content, family)
    yield from _dicom(policy, content.dicom)
    yield from _without_table(policy, content, family)


def _bad_places(
    policy: DeidentificationPolicy, content: ContentPolicy, family: str
) -> Iterator[tuple[str, str]]:
    named = [place.at for place in policy.places]
    wanted = named + ([] if policy.patient is None else [policy.patient])
    declared = _declared(content)
    if declared is not None:
        for at in wanted:
            if at not in declared:
                yield f"names {at}, which {family} does not declare", "Write a declared name."
        for name in declared:
            if name not in named:
                yield f"does not say what {name} holds", "Add a places table for it."
        return
    pattern, hint = _GRAMMARS[family]
    for at in wanted:
        if re.fullmatch(pattern, at) is None:
            yield f"names the place {at}, which {family} does not have", f"Write {hint}."
    if policy.patient is not None and (family == "fhir" or "*" in policy.patient):
        yield "names a patient where it cannot", "Write one exact place; for fhir, none."


def _dicom(
    policy: DeidentificationPolicy, content: DicomPolicy | None
) -> Iterator[tuple[str, str]]:
    if content is None:
        if policy.dicom is not None:
            yield "has options of dicom for another family", "Remove its table dicom."
        return
    from validators.dicom import dictionary  # slow to load: only where DICOM is carried

    named = [place.at for place in policy.places]
    for at in named if policy.patient is None else [*named, policy.patient]:
        if not dictionary.knows(at):
            yield f"names {at}, which is no element of DICOM", "Write a keyword, as PatientName."
    missing = [] if content.elements == "any" else sorted(_WRITTEN - set(content.elements))
    if missing:
        yield (
            "writes elements that content.dicom.elements does not name",
            f"Name them there, on both sides: {', '.join(missing)}.",
        )


def _declared(content: ContentPolicy) -> list[str] | None:
    """The names of columns or fields, in families that declare each."""
    if content.csv is not None:
        return [column.name for column in content.csv.columns]
    return None if content.form is None else [field.name for field in content.form.fields]


def _without_table(
    policy: DeidentificationPolicy, content: ContentPolicy, family: str
) -> Iterator[tuple[str, str]]:
    has_table = family in {"hl7v2", "fhir", "dicom"} or (
        content.xml is not None and content.xml.cda is not None
    )
    if has_table and policy.dates == "day-number":
        yield (
            "counts days where only dates may stand",
            'Set dates to "shift", "month", "year" or "remove".',
        )
    if has_table:
        return
    if not policy.places:
        yield "names no places", "Say of each place of the message what it holds (places)."
    has_dates = any(place.holds == "date" for place in policy.places)
    moves = policy.dates in {"shift", "day-number"} and policy.without_patient == "refuse"
    if has_dates and moves and policy.patient is None:
        yield (
            "moves dates by the patient and does not say where the patient's number stands",
            "Add patient, or cut the dates (dates, without_patient).",
        )
