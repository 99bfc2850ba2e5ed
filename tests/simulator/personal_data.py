"""Messages full of personal data, each value of which can be told from all others."""

from __future__ import annotations

from itertools import count
from typing import Any

from validators.fhir.model import Model

_PLANTED = frozenset(
    {"HumanName", "Address", "ContactPoint", "Identifier", "Reference", "Narrative", "Signature"}
)
_DATES = {
    "date": "1987-06-17",
    "dateTime": "1987-06-17T08:00:00Z",
    "instant": "1987-06-17T08:00:00Z",
}


class Markers:
    """Gives values that stand nowhere else, and remembers them."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self._numbers = count(1)

    def word(self) -> str:
        """A new word; a family that leaves it leaks it."""
        self.given.append(f"Qz{next(self._numbers):05}Xk")
        return self.given[-1]

    def left_in(self, text: str) -> list[str]:
        """Those that a text still holds."""
        return [each for each in self.given if each.lower() in text.lower()]


def fhir_resource(model: Model, name: str, markers: Markers) -> dict[str, Any]:
    """A resource with every element, down to its groups, whose type holds personal data."""
    return {"resourceType": name, "id": markers.word(), **_elements(model, name, markers, 3)}


def _elements(model: Model, type_name: str, markers: Markers, depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, element in model[type_name].elements.items():
        value: Any = None
        if element.type in _PLANTED:
            value = _planted(element.type, markers)
        elif element.type == "Extension" and key == "extension":
            value = {"url": "http://unnamed", "valueString": markers.word()}
        elif element.type in _DATES:
            value = _DATES[element.type]
        elif element.type.startswith(f"{type_name}.") and depth:
            value = _elements(model, element.type, markers, depth - 1)
        if value:
            made[key] = [value] if element.many else value
    return made


def _planted(type_name: str, markers: Markers) -> dict[str, Any]:
    word = markers.word
    match type_name:
        case "HumanName":
            return {"family": word(), "given": [word(), word()], "text": word(), "prefix": [word()]}
        case "Address":
            return {"line": [word()], "text": word(), "city": word(), "district": word()}
        case "ContactPoint":
            return {"system": "phone", "value": word()}
        case "Identifier":
            return {"value": word(), "assigner": {"display": word()}}
        case "Reference":
            return {"reference": f"Patient/{word()}", "display": word()}
        case "Narrative":
            return {"status": "additional", "div": f"<div>{word()}</div>"}
    return {"who": {"display": word()}, "data": word(), "when": _DATES["instant"]}


def cda_document(patient: str = "P1", body: str = "", markers: Markers | None = None) -> str:
    """A document with every header part; with `markers`, all that says who somebody is is one."""

    def word() -> str:
        return "x" if markers is None else markers.word()

    def person(element: str) -> str:
        return (
            f"<{element}><name><prefix>{word()}</prefix><given>{word()}</given>"
            f"<family>{word()}</family></name></{element}>"
        )

    def contact() -> str:
        return (
            f"<addr><streetAddressLine>{word()}</streetAddressLine><houseNumber>{word()}"
            f"</houseNumber><city>{word()}</city><county>{word()}</county></addr>"
            f'<telecom value="tel:{word()}"/>'
        )

    def organisation(element: str) -> str:
        return f'<{element}><id root="1.2" extension="{word()}"/><name>{word()}</name></{element}>'

    date = '<time value="19870617"/>'
    return f"""<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc">
<typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>
<id root="2.16.156.1" extension="{word()}"/><code code="C0004"/>
<effectiveTime value="20260301"/><confidentialityCode code="N"/>
<setId root="1.3" extension="{word()}"/><recordTarget><patientRole>
<id root="1.4" extension="{patient}"/><id root="1.5" extension="{word()}"/>{contact()}
<patient><name>{word()}</name><birthTime value="19870617"/>
<guardian>{person("guardianPerson")}</guardian><birthplace><place>{contact()}</place></birthplace>
</patient>{organisation("providerOrganization")}</patientRole></recordTarget>
<author>{date}<assignedAuthor><id root="1.6" extension="{word()}"/>{contact()}
{person("assignedPerson")}</assignedAuthor></author>
<custodian><assignedCustodian>{organisation("representedCustodianOrganization")}</assignedCustodian>
</custodian><participant><time><low value="19870617"/><high value="198706171200"/></time>
<associatedEntity>{person("associatedPerson")}</associatedEntity></participant>{body}
</ClinicalDocument>"""
