"""Who sent it: what is believed, what is not, and what wins."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused
from outer_agent.senders import SenderDirectory
from outer_agent.sources.tls import certificate_names
from tests.simulator.outer_inside import (
    API_KEY,
    OTHER_API_KEY,
    OTHER_SENDER,
    api_key_digest,
    sender,
)

DIRECTORY = SenderDirectory([sender(), OTHER_SENDER])


@pytest.mark.parametrize(
    ("listener", "shown", "expected"),
    [
        ("front-http", {"api_key": API_KEY}, "his-front"),
        ("front-http", {"api_key": OTHER_API_KEY}, "pacs"),
        ("front-http", {"tls_names": ["his.example"]}, "his-front"),
        ("front-http", {"tls_names": ["HIS.Example"]}, "his-front"),
        ("front-http", {"tls_names": ["other.example", "pacs.example"]}, "pacs"),
        ("adt-in", {}, "his-front"),
        ("adt-in", {"tls_names": ["pacs.example"]}, "pacs"),
        ("adt-in", {"api_key": OTHER_API_KEY}, "pacs"),
        ("front-http", {"api_key": API_KEY, "tls_names": ["his.example"]}, "his-front"),
    ],
)
def test_a_sender_is_known_by_what_it_shows(listener, shown, expected) -> None:
    assert DIRECTORY.identify(listener, **shown) == expected


@pytest.mark.parametrize(
    ("listener", "shown"),
    [
        ("front-http", {}),
        ("front-http", {"api_key": "wrong"}),
        ("front-http", {"api_key": ""}),
        ("front-http", {"api_key": API_KEY + " "}),
        ("front-http", {"api_key": api_key_digest(API_KEY)}),
        ("front-http", {"api_key": "\udcff"}),
        ("front-http", {"tls_names": ["stranger.example"]}),
        ("front-http", {"tls_names": ["*.example"]}),
        ("front-http", {"tls_names": ["his.example", "pacs.example"]}),
        ("front-http", {"api_key": OTHER_API_KEY, "tls_names": ["his.example"]}),
        # What would do by itself does not mend a wrong key.
        ("adt-in", {"api_key": "wrong"}),
        ("adt-in", {"api_key": "wrong", "tls_names": ["his.example"]}),
        ("ADT-IN", {}),
    ],
)
def test_anything_else_is_nobody(listener, shown) -> None:
    with pytest.raises(Refused) as refusal:
        DIRECTORY.identify(listener, **shown)
    assert refusal.value.reason is reasons.SENDER_UNKNOWN


def test_both_keys_are_good_while_they_change() -> None:
    both = (api_key_digest("old"), api_key_digest("new"))
    directory = SenderDirectory([sender(api_keys_sha256=both)])
    assert {directory.identify("x", api_key=key) for key in ("old", "new")} == {"his-front"}


def test_only_dns_names_of_a_certificate_count() -> None:
    certificate = {
        "subject": ((("commonName", "common.example"),),),
        "subjectAltName": (("DNS", "a.example"), ("IP Address", "10.0.0.1"), ("DNS", "b.example")),
    }
    assert certificate_names(certificate) == ["a.example", "b.example"]
    assert certificate_names({"subject": ()}) == []
    assert certificate_names({}) == []
    assert certificate_names(None) == []
