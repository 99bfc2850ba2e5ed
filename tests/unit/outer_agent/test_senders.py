"""Who sent it: certificate, API key, listener."""

from __future__ import annotations

import hashlib

import pytest

from ferry_format.reasons import Refused
from outer_agent.policy import SenderSection
from outer_agent.senders import SenderDirectory, certificate_names


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


DIRECTORY = SenderDirectory(
    [
        SenderSection(name="his", api_keys_sha256=(sha256("old"), sha256("new"))),
        SenderSection(name="lis", tls_names=("LIS.example",)),
        SenderSection(name="pacs", listeners=("pacs-in",)),
    ]
)


@pytest.mark.parametrize("key", ["old", "new"])
def test_both_keys_of_a_rotation_are_known(key: str) -> None:
    assert DIRECTORY.identify("any", api_key=key) == "his"


def test_a_certificate_name_is_known_whatever_its_case() -> None:
    assert DIRECTORY.identify("any", tls_names=["other.example", "lis.EXAMPLE"]) == "lis"


def test_a_listener_names_its_peers() -> None:
    assert DIRECTORY.identify("pacs-in") == "pacs"


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"api_key": ""},
        {"api_key": "wrong"},
        {"api_key": sha256("old")},
        {"api_key": "\udce9"},
        {"tls_names": ["stranger.example"]},
        {"api_key": "old", "tls_names": ["lis.example"]},
    ],
)
def test_strangers_and_contradictions_are_refused(shown: dict) -> None:
    with pytest.raises(Refused, match="sender_unknown"):
        DIRECTORY.identify("any", **shown)


def test_a_wrong_key_is_refused_even_where_the_listener_would_do() -> None:
    with pytest.raises(Refused):
        DIRECTORY.identify("pacs-in", api_key="wrong")


def test_only_dns_names_of_a_certificate_count() -> None:
    certificate = {"subjectAltName": (("DNS", "lis.example"), ("IP Address", "127.0.0.1"))}
    assert certificate_names(certificate) == ["lis.example"]
    assert certificate_names(None) == []
