"""XML of every shape: the rebuilt form is a fixed point, and no bytes do harm."""

from __future__ import annotations

from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from hypothesis import given
from hypothesis import strategies as st

from validators.policy import XmlPolicy
from validators.verdict import Accepted, Rejected
from validators.xml.validator import XmlValidator

VALIDATOR = XmlValidator(
    XmlPolicy.model_validate(
        {"roots": "any", "elements": ["/a/b/**"], "unknown_elements": "strip", "soap": "strip"}
    ),
    {},
)
OPEN = XmlValidator(XmlPolicy.model_validate({"roots": "any", "elements": "any"}), {})

texts = st.text("ab &<>\"'中\t\n\U00020000é]", max_size=8)
names = st.sampled_from(["a", "b", "p:b", "q:c"])
DECLARED = 'xmlns:p="urn:p" xmlns:q="urn:q"'


def element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def build(name: str, value: str, inside: list[str]) -> str:
        return f"<{name} {DECLARED} v={quoteattr(value)}>{''.join(inside)}</{name}>"

    return st.builds(build, names, texts, st.lists(children, max_size=4))


leaves = texts.map(escape) | st.sampled_from(["<!-- c -->", "<?p i?>", "<![CDATA[<&]]>", "&#13;"])
contents = st.recursive(leaves, element, max_leaves=12)
documents = st.lists(contents, max_size=4).map(lambda inside: f"<a>{''.join(inside)}</a>")


def flat(data: bytes) -> list[object]:
    return [(e.tag, e.attrib, e.text or "", e.tail or "") for e in ET.fromstring(data).iter()]


@given(documents)
def test_what_crosses_means_the_same_and_is_a_fixed_point(document: str) -> None:
    verdict = OPEN.validate(document.encode())
    assert isinstance(verdict, Accepted)
    assert OPEN.validate(verdict.payload) == verdict
    assert flat(verdict.payload) == flat(document.encode())


@given(documents)
def test_what_is_stripped_stays_away(document: str) -> None:
    verdict = VALIDATOR.validate(document.encode())
    assert isinstance(verdict, Accepted)
    assert VALIDATOR.validate(verdict.payload) == verdict
    assert all(child.tag == "b" for child in ET.fromstring(verdict.payload))


@given(documents, st.integers(0, 400), st.binary(max_size=6), st.integers(0, 6))
def test_a_damaged_message_gets_a_verdict(
    document: str, at: int, inserted: bytes, dropped: int
) -> None:
    data = document.encode()
    verdict = OPEN.validate(data[:at] + inserted + data[at + dropped :])
    if isinstance(verdict, Accepted):
        assert OPEN.validate(verdict.payload) == verdict


@given(st.binary(max_size=60))
def test_any_bytes_get_a_verdict(data: bytes) -> None:
    assert isinstance(OPEN.validate(data), Accepted | Rejected)
