"""The names of elements and attributes that CDA R2 and WS/T 500 have: all others may be data.

HL7 CDA R2, POCD_MT000040, with the data types of HL7 V3 and the narrative block.
"""

from __future__ import annotations

from typing import Final

_HEADER: Final = """
    ClinicalDocument realmCode typeId templateId id code title effectiveTime confidentialityCode
    languageCode setId versionNumber copyTime recordTarget patientRole patient addr telecom name
    administrativeGenderCode birthTime maritalStatusCode religiousAffiliationCode raceCode
    ethnicGroupCode guardian guardianPerson guardianOrganization birthplace place
    languageCommunication modeCode proficiencyLevelCode preferenceInd providerOrganization
    standardIndustryClassCode asOrganizationPartOf wholeOrganization statusCode author functionCode
    time assignedAuthor assignedPerson assignedAuthoringDevice manufacturerModelName softwareName
    asMaintainedEntity maintainingPerson representedOrganization dataEnterer assignedEntity
    informant relatedEntity relatedPerson custodian assignedCustodian
    representedCustodianOrganization informationRecipient intendedRecipient receivedOrganization
    legalAuthenticator signatureCode authenticator participant associatedEntity associatedPerson
    scopingOrganization inFulfillmentOf order priorityCode documentationOf serviceEvent performer
    relatedDocument parentDocument authorization consent componentOf encompassingEncounter
    dischargeDispositionCode responsibleParty encounterParticipant location healthCareFacility
    serviceProviderOrganization age employerOrganization occupation educationLevel
"""
_BODY: Final = """
    component nonXMLBody structuredBody section text subject relatedSubject entry act observation
    observationMedia organizer procedure regionOfInterest substanceAdministration supply encounter
    entryRelationship reference externalAct externalDocument externalObservation externalProcedure
    precondition criterion consumable manufacturedProduct manufacturedLabeledDrug
    manufacturedMaterial manufacturerOrganization lotNumberText product specimen specimenRole
    specimenPlayingEntity participantRole playingDevice playingEntity playingPerson scopingEntity
    person desc
    quantity repeatNumber routeCode approachSiteCode doseQuantity rateQuantity maxDoseQuantity
    administrationUnitCode independentInd uncertaintyCode expectedUseTime interpretationCode
    methodCode targetSiteCode value referenceRange observationRange awarenessCode sequenceNumber
    separatableInd seperatableInd
"""
_TYPES: Final = """
    translation originalText qualifier low high center width phase period event offset numerator
    denominator head increment origin scale growth slope items digits thumbnail useablePeriod
    validTime comp delimiter country state county city postalCode streetAddressLine houseNumber
    houseNumberNumeric direction streetName streetNameBase streetNameType additionalLocator unitID
    unitType carrier censusTract deliveryAddressLine deliveryInstallationType
    deliveryInstallationArea deliveryInstallationQualifier deliveryMode deliveryModeIdentifier
    buildingNumberSuffix postBox precinct prefix suffix family given
"""
_NARRATIVE: Final = """
    content linkHtml sub sup br footnote footnoteRef renderMultiMedia paragraph caption list item
    table thead tfoot tbody colgroup col tr th td
"""
_ATTRIBUTES: Final = """
    ID IDREF abbr align alignment assigningAuthorityName axis border cellpadding cellspacing char
    charoff classCode code codeSystem codeSystemName codeSystemVersion colspan compression
    contextConductionInd contextControlCode currency determinerCode displayName displayable
    extension frame headers height href independentInd institutionSpecified integrityCheck
    integrityCheckAlgorithm inclusive inversionInd language listType mediaType moodCode name
    negationInd nullFlavor operator partType qualifier referencedObject rel representation rev
    revised root rowspan rules scope span styleCode summary title typeCode unit use valign value
    width
"""
ELEMENTS: Final = frozenset(f"{_HEADER} {_BODY} {_TYPES} {_NARRATIVE}".split())
STEPS: Final = ELEMENTS | {f"@{each}" for each in _ATTRIBUTES.split()}
"""As a path names them."""
