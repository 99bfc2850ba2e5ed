"""Policy of channels whose messages are de-identified before they cross.

Its seven methods are the rows of the table in GB/T 39725-2020 (health data security guide); what a
family's own table says of each place is in docs/deidentification.md.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.terms import PolicyModel, matches

KeyName = Annotated[
    str,
    matches(
        r"[a-z0-9][a-z0-9._-]{0,63}",
        "write the name of a key: lower-case letters, digits and . _ -",
    ),
]
PlaceText = Annotated[str, Field(min_length=1, max_length=1000)]
Kind = Literal[
    "name",
    "organisation",
    "contact",
    "address",
    "city",
    "county",
    "date",
    "birth-date",
    "age",
    "identity",
    "postcode",
    "internal",
    "uid",
    "text",
    "keep",
    "remove",
]
"""What stands at a place, as far as it says who somebody is."""


class PlacePolicy(PolicyModel):
    """A place that the channel judges otherwise than its family's table, or that has none."""

    at: PlaceText = Field(
        description=(
            "HL7 v2: a field or component (PID-5, PID-3.1). FHIR: an element (Patient.name), or "
            "an extension's URL. XML and CDA: a path (/order/patient/name, /order/@id), or a "
            "last step ** for all below. JSON: a pointer, with * for each member or item and a "
            "last step ** for all below. CSV and forms: a column's or field's name. DICOM: an "
            "element's keyword, at any depth."
        )
    )
    holds: Kind = Field(
        description=(
            "What stands there: name, organisation, contact (telephone, mail), address (as one "
            "text), city, county, date, birth-date, age, identity (identity and insurance "
            "numbers), postcode, internal (the hospital's own numbers), uid (of DICOM), text "
            "(looked through for leftovers), keep (crosses as it is), remove (never crosses)."
        )
    )


class DicomProfilePolicy(PolicyModel):
    """The options of PS3.15's profile for DICOM."""

    characteristics: Literal["keep", "remove"] = Field(
        default="keep",
        description=(
            "The patient's sex, size, weight, ethnic group, smoking and pregnancy (and age, as "
            "ages says): option Retain Patient Characteristics, or remove."
        ),
    )
    descriptors: Literal["remove", "clean"] = Field(
        default="remove",
        description=(
            "Descriptions, comments, labels and the texts of reports: remove, or clean (option "
            "Clean Descriptors): they cross, looked through like other texts."
        ),
    )
    burned_in: Literal["refuse", "pass"] = Field(
        default="refuse",
        description=(
            "Instances that say that their pixels show text (BurnedInAnnotation is YES). What "
            "pixels show is never looked at."
        ),
    )


class DeidentificationPolicy(PolicyModel):
    """What becomes of each kind of data by which a person could be known."""

    key: KeyName = Field(
        description=(
            "Name of the key of pseudonyms and date shifts, one of outer.toml's "
            "deidentification.keys. Channels that name one key give a person one pseudonym."
        )
    )
    names: Literal["remove", "blank"] = Field(
        default="remove", description="Names: remove, or blank (*** stands for them)."
    )
    contacts: Literal["remove", "city", "county"] = Field(
        default="remove",
        description=(
            "Addresses: remove, or keep province and city, or county too. Telephone numbers and "
            "mail addresses always go."
        ),
    )
    dates: Literal["shift", "month", "year", "day-number", "remove"] = Field(
        default="shift",
        description=(
            "Dates: shift moves all dates of a patient by the same days, so that intervals "
            "survive; month and year cut them; day-number (json, xml, csv and form) counts days "
            "from a zero that is the patient's own."
        ),
    )
    birth_dates: Literal["age", "remove"] = Field(
        default="age",
        description=(
            "Dates of birth: age in bands of five years and one above 89, at the message's "
            "date; where only a date can stand, as a year of birth. Or remove."
        ),
    )
    ages: Literal["band", "remove"] = Field(
        default="band",
        description="Ages: the first year of a band of five (57 is 55), 90 for all above 89.",
    )
    identities: Literal["pseudonym", "digits", "remove"] = Field(
        default="pseudonym",
        description=(
            "Identity and insurance numbers: a keyed pseudonym of 16 letters and digits, or of as "
            "many digits as the number had, or remove."
        ),
    )
    postcodes: Literal["three-digits", "remove"] = Field(
        default="three-digits", description="Postcodes: the first three digits, or remove."
    )
    internal_numbers: Literal["pseudonym", "digits", "remove"] = Field(
        default="pseudonym",
        description="The hospital's own numbers (patient, visit, order, document): as identities.",
    )
    leftovers: Literal["refuse", "blank", "flag"] = Field(
        default="refuse",
        description=(
            "Where a text still holds an identity number, a mobile number or one of the "
            "message's own names and numbers: refuse the message, blank that text, or flag: it "
            "crosses, and log, metric and audit trail say so."
        ),
    )
    files: Literal["refuse", "remove"] = Field(
        default="refuse",
        description="Files in messages, whose inside cannot be judged: refuse the message, or "
        "let it cross without the file.",
    )
    patient: PlaceText | None = Field(
        default=None,
        description=(
            "Where the number stands by which dates are shifted, as in places.at. Without it: "
            "PID-3.1 of HL7 v2, the patient's own id of FHIR and CDA, PatientID of DICOM. json, "
            "xml, csv and form must say."
        ),
    )
    without_patient: Literal["refuse", "year"] = Field(
        default="refuse",
        description=(
            "What becomes of a message without a patient's number, or of several patients: "
            "refuse it, or cut its dates to years."
        ),
    )
    dicom: DicomProfilePolicy | None = Field(default=None, description="Options of DICOM channels.")
    places: tuple[PlacePolicy, ...] = Field(
        default=(),
        description=(
            "Places that are judged otherwise than the family's table says; one table each. json, "
            "xml (but CDA), csv and form have no table: each place must be named."
        ),
    )

    @model_validator(mode="after")
    def _places_stand_once(self) -> Self:
        names = [place.at for place in self.places]
        if len(set(names)) != len(names):
            raise ValueError("a place stands twice in places: give each one kind")
        return self
