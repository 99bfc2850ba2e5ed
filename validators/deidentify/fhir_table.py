"""What stands where in FHIR R4 and R5: by the type of each element, and by exception.

Types and elements are those of HL7's definitions (`validators.fhir.model`). What has no kind here
keeps: codes, quantities, booleans, times of day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from validators.policy.deidentify import Kind

TYPES: Final[Mapping[str, Kind]] = {
    "Narrative": "remove",
    "Signature": "remove",
    "base64Binary": "remove",
    "date": "date",
    "dateTime": "date",
    "id": "keep",
    "instant": "date",
    "markdown": "text",
    "string": "text",
    "url": "remove",
}
"""By the type of an element, simple or not: removed as a whole, or each value by its kind."""

_ELEMENTS_BY_KIND: Final[Mapping[Kind, str]] = {
    "name": (
        "HumanName.family HumanName.given HumanName.text AuditEvent.agent.name "
        "ContactDetail.name Account.name Contributor.name Annotation.authorString "
        "FamilyMemberHistory.name Group.name"
    ),
    "organisation": (
        "Organization.name Organization.alias Location.name Location.alias "
        "HealthcareService.name CareTeam.name Endpoint.name"
    ),
    "contact": "ContactPoint.value Address.line AuditEvent.agent.network.address",
    "address": "Address.text",
    "city": "Address.city Address.state Address.country",
    "county": "Address.district",
    "postcode": "Address.postalCode",
    "birth-date": (
        "Patient.birthDate Person.birthDate RelatedPerson.birthDate Practitioner.birthDate "
        "FamilyMemberHistory.bornDate"
    ),
    "age": "Age.value",
    "identity": "Coverage.subscriberId Coverage.class.value AuditEvent.agent.altId",
    "internal": "Identifier.value Device.serialNumber Device.distinctIdentifier",
    "uid": "ImagingStudy.series.uid ImagingStudy.series.instance.uid",
    "remove": (
        "HumanName.prefix HumanName.suffix Patient.photo Person.photo Practitioner.photo "
        "RelatedPerson.photo Location.position Meta.source Attachment.hash Attachment.size "
        "Bundle.entry.request.ifNoneExist Bundle.link Patient.multipleBirthInteger "
        "Device.udiCarrier FamilyMemberHistory.bornPeriod FamilyMemberHistory.bornString"
    ),
    "keep": (
        "Extension.url RelatedArtifact.url MessageHeader.source.endpoint "
        "MessageHeader.destination.endpoint Endpoint.address"
    ),
}
ELEMENTS: Final[Mapping[str, Kind]] = {
    name: kind for kind, names in _ELEMENTS_BY_KIND.items() for name in names.split()
}
"""By type and element; goes before TYPES."""

REFERENCES: Final = frozenset(
    {
        "Reference.reference",
        "Bundle.entry.fullUrl",
        "Bundle.entry.request.url",
        "Bundle.entry.response.location",
    }
)
"""Elements that name a resource by its id."""
ALWAYS_NAMED: Final = frozenset(
    {
        "",
        "CareTeam",
        "Group",
        "HealthcareService",
        "Location",
        "Organization",
        "Patient",
        "Person",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    }
)
"""Types of which a reference's display is somebody's name; the first one: of no type."""
