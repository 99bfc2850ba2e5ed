"""What a profile promises: samples that pass on both sides, others refused for their reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from docs import make_profiles
from ferry_format.keys import KeyKind
from ferry_format.reasons import BY_CODE
from ferry_runtime.configuration import parse
from inner_agent.policy import InnerPolicy
from outer_agent.policy import OuterPolicy
from tests.simulator.configured_site import make_key
from validators.profiles import Profile, load, names
from validators.verdict import Accepted, Rejected

EXCHANGES = {
    "appointment",
    "appointment-json",
    "charge",
    "discharge-summary",
    "image",
    "order",
    "payment",
    "payment-form",
    "prescription",
    "prescription-fhir",
    "registration",
    "report",
    "result",
    "settlement",
}
PROFILES = [load(name) for name in names()]
ACCEPTED = [(one, file) for one in PROFILES for file in one.accepted]
REFUSED = [(one, refusal) for one in PROFILES for refusal in one.refused]


def named(value: object) -> str | None:
    if isinstance(value, Profile):
        return value.name
    return getattr(value, "file", None)


@pytest.fixture(scope="module")
def policies(tmp_path_factory: pytest.TempPathFactory) -> tuple[OuterPolicy, InnerPolicy]:
    """Both sides' policies with a channel of every profile."""
    tmp_path = tmp_path_factory.mktemp("keys")
    receiver = make_key(tmp_path, KeyKind.RECEIVE, "receiver").public
    sender = make_key(tmp_path, KeyKind.SIGN, "sender").public
    channels = [f"{name}.1" for name in names()]
    outer = [
        f'version = 1\nside = "outer"\nlane = "one"\n[receiver]\nkey = "{receiver.token}"\n',
        '[[senders]]\nname = "desk"\nlisteners = ["mllp"]\n',
        *(one.outer_channel(f"{one.name}.1", ["desk"]) for one in PROFILES),
    ]
    inner = [
        'version = 1\nside = "inner"\nlane = "one"\n',
        *(one.inner_channel(f"{one.name}.1", "his") for one in PROFILES),
        f'[[senders]]\nname = "front"\nkey = "{sender.token}"\nchannels = {channels}\n',
    ]
    path = tmp_path / "policy.toml"
    return (
        parse(OuterPolicy, "\n".join(outer).encode(), path),
        parse(InnerPolicy, "\n".join(inner).encode(), path),
    )


def test_there_is_a_profile_for_every_exchange() -> None:
    assert set(names()) == EXCHANGES


def test_the_page_is_what_the_profiles_say() -> None:
    page = make_profiles.PAGE.read_text(encoding="utf-8")
    assert page == make_profiles.page(), "run: python -m docs.make_profiles"


def test_both_policies_take_a_channel_of_every_profile_and_judge_alike(
    policies: tuple[OuterPolicy, InnerPolicy],
) -> None:
    outer, inner = policies
    for profile, sent, taken in zip(PROFILES, outer.channels, inner.channels, strict=True):
        assert sent.name == taken.name == f"{profile.name}.1"
        assert sent.content == taken.content == profile.content
        assert sent.bytes_max == taken.bytes_max
        assert sent.virus_scan == taken.virus_scan
        assert taken.order_key_place == profile.order_by


@pytest.mark.parametrize("profile", PROFILES, ids=named)
def test_the_channels_text_keeps_every_line_of_the_profile(profile: Profile) -> None:
    text = profile.outer_channel("one", ["desk"]) + profile.inner_channel("one", "his")
    lines = [line for line in profile.text.splitlines() if not re.match(r"\[|title|$", line)]
    assert lines
    assert [line for line in lines if line not in text.splitlines()] == []


@pytest.mark.parametrize(("profile", "file"), ACCEPTED, ids=named)
def test_a_sample_is_accepted_and_a_fixed_point_on_both_sides(
    policies: tuple[OuterPolicy, InnerPolicy], profile: Profile, file: str
) -> None:
    for channels in (policies[0].channels, policies[1].channels):
        content = next(one.content for one in channels if one.name == f"{profile.name}.1")
        channel = replace(profile, content=content)
        verdict = channel.judge(profile.accepted[file])
        assert isinstance(verdict, Accepted), verdict
        assert channel.judge(verdict.payload) == verdict
        assert verdict.control_id
        assert (verdict.order_key is not None) == (profile.order_by is not None)


@pytest.mark.parametrize(("profile", "refusal"), REFUSED, ids=named)
def test_a_message_outside_the_profile_is_refused_for_its_reason(
    profile: Profile, refusal: Any
) -> None:
    assert refusal.reason in BY_CODE
    verdict = profile.judge(refusal.payload)
    assert isinstance(verdict, Rejected)
    assert verdict.reason.code == refusal.reason, verdict.place


@pytest.mark.parametrize("profile", PROFILES, ids=named)
def test_every_profile_shows_what_passes_and_what_does_not(profile: Profile) -> None:
    assert profile.accepted
    assert len({refusal.reason for refusal in profile.refused}) >= 3
