"""Where data could hide in XML, CDA and SOAP: refused, or gone on the other side."""

from __future__ import annotations

import pytest

from tests.simulator.hiding import HIDDEN, Place, check

XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
CLEAN = b'<order id="A1" day="2026"><n>5</n><n>6</n></order>'
POLICY = {
    "xml": {
        "roots": ["order"],
        "elements": ["/order/n"],
        "unknown_elements": "strip",
        "soap": "strip",
    }
}
DECLARED = b'<?xml version="1.0"%s?>' + CLEAN
NO_BLANKS = {"blank_text": "drop"}
REFUSING = {"unknown_elements": "refuse", "processing_instructions": "refuse", "soap": "refuse"}
WORD = HIDDEN.encode()
SOAP = (
    b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Header><h>%s</h></s:Header>'
    b"<s:Body>%s</s:Body></s:Envelope>"
)
CALL = {"call": {"actions": "any"}}
_BODY = (
    b'<HIPMessageServer xmlns="urn:hl7-org:v3"><action>%s</action>'
    b"<message><![CDATA[%s]]></message></HIPMessageServer>"
)
CALLED = SOAP % (b"", _BODY)


def inside(text: str) -> bytes:
    return CLEAN.replace(b"</order>", text.encode() + b"</order>")


def rooted(attributes: str) -> bytes:
    return CLEAN.replace(b"<order", f"<order {attributes}".encode())


PLACES = [
    Place("a comment", inside(f"<!-- {HIDDEN} -->"), "gone"),
    Place("a comment before", b"<!-- " + WORD + b" -->" + CLEAN, "gone"),
    Place("a comment behind", CLEAN + b"<!-- " + WORD + b" -->", "gone"),
    Place("a processing instruction", inside(f"<?{HIDDEN} {HIDDEN}?>"), "gone"),
    Place("one before", b"<?" + WORD + b"?>" + CLEAN, "gone"),
    Place("one behind", CLEAN + b"<?" + WORD + b"?>", "gone"),
    *(
        Place(f"{where}, refusing", message, ("processing_instruction_not_allowed",), REFUSING)
        for where, message in {
            "an instruction": inside(f"<?{HIDDEN} x?>"),
            "one before": b"<?" + WORD + b"?>" + CLEAN,
            "one behind": CLEAN + b"<?" + WORD + b"?>",
        }.items()
    ),
    Place(
        "the XML declaration",
        b'<?xml version="1.0" x="' + WORD + b'"?>' + CLEAN,
        ("not_well_formed",),
    ),
    Place(
        "its encoding",
        b'<?xml version="1.0" encoding="' + WORD + b'"?>' + CLEAN,
        ("charset_not_allowed",),
    ),
    Place(
        "a DOCTYPE",
        b"<!DOCTYPE QX7hiddenWORD>" + CLEAN,
        ("doctype_not_allowed",),
    ),
    Place("an undeclared entity", inside(f"&{HIDDEN};"), ("not_well_formed",)),
    Place("behind the root", CLEAN + WORD, ("not_well_formed",)),
    Place("behind a NUL", CLEAN + b"\0" + WORD, ("not_well_formed",)),
    Place("a second root", CLEAN + b"<a>" + WORD + b"</a>", ("not_well_formed",)),
    Place("before the root", WORD + CLEAN, ("not_well_formed",)),
    Place("an unknown element", inside(f"<x>{HIDDEN}</x>"), "gone"),
    Place("its name", inside(f"<{HIDDEN}/>"), "gone"),
    Place("one of another namespace", inside(f'<n xmlns="urn:{HIDDEN}">x</n>'), "gone"),
    Place(
        "an unknown element, refusing",
        inside(f"<x>{HIDDEN}</x>"),
        ("element_not_allowed",),
        REFUSING,
    ),
    Place("an unused namespace", rooted(f'xmlns:{HIDDEN}="urn:{HIDDEN}"'), "gone"),
    Place("where a schema lies", rooted(f'{XSI} xsi:schemaLocation="urn:x {HIDDEN}"'), "gone"),
    Place("where one lies", rooted(f'{XSI} xsi:noNamespaceSchemaLocation="{HIDDEN}"'), "gone"),
    Place(
        "the order of attributes",
        CLEAN.replace(b'id="A1" day="2026"', b'day="2026" id="A1"'),
        "gone",
    ),
    Place("quotes", CLEAN.replace(b'"', b"'"), "gone"),
    Place(
        "white space in tags", CLEAN.replace(b" ", b" \t\r\n ").replace(b"</n>", b"</n\t >"), "gone"
    ),
    Place(
        "character references", CLEAN.replace(b"5", b"&#x00035;").replace(b"6", b"&#54;"), "gone"
    ),
    Place("CDATA", CLEAN.replace(b"5", b"<![CDATA[]]>5<![CDATA[]]>"), "gone"),
    Place("over-long UTF-8", CLEAN.replace(b"5", b"\xc0\xb5"), ("not_decodable",)),
    Place("tag characters", CLEAN.replace(b"5", b"5\xf3\xa0\x81\x91"), ("control_character",)),
    Place("UTF-16", HIDDEN.join("<a></a>").encode("utf-16"), ("charset_not_allowed",)),
    Place("an envelope's header", SOAP % (WORD, CLEAN), "gone"),
    Place(
        "an envelope's body", SOAP % (b"", CLEAN + b"<x>" + WORD + b"</x>"), ("not_well_formed",)
    ),
    Place("text in the body", SOAP % (b"", CLEAN + WORD), ("not_well_formed",)),
    Place("a call's action", CALLED % (WORD, CLEAN), "gone", CALL),
    Place(
        "the text of a call",
        CALLED % (b"A</action>%s<action>" % WORD, CLEAN),
        ("not_well_formed",),
        CALL,
    ),
    Place(
        "another parameter",
        CALLED % (b"A</action><x>%s</x><action>" % WORD, CLEAN),
        ("not_well_formed",),
        CALL,
    ),
    Place("the prolog of a message", CALLED % (b"A", b"<!-- %s -->" % WORD + CLEAN), "gone", CALL),
    Place("behind the message", CALLED % (b"A", CLEAN + WORD), ("not_well_formed",), CALL),
    Place(
        "an attribute",
        rooted(f'hidden="{HIDDEN}"'),
        "gone",
        {"attributes": ["/order/@id", "/order/@day"]},
    ),
    Place(
        "an attribute's name, refusing",
        rooted(f'{HIDDEN}="1"'),
        ("element_not_allowed",),
        {"attributes": ["/order/@id", "/order/@day"]} | {"unknown_elements": "refuse"},
    ),
    Place("white space between elements", CLEAN.replace(b"<n>", b" \t\n<n>"), "gone", NO_BLANKS),
    Place("and in one", CLEAN.replace(b"</n></o", b"</n>\t <x/>\n</o"), "gone", NO_BLANKS),
]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_xml(place: Place) -> None:
    check(place, CLEAN, POLICY)
