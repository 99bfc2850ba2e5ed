"""HL7 FHIR, R4 and R5, in its JSON format."""
