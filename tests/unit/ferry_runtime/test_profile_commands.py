from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry_runtime.commands import profiles as profile_commands
from inner_agent.policy import load_policy as load_inner
from outer_agent.policy import load_policy as load_outer
from tests.simulator.configured_site import Host, inner_host, outer_host
from validators.profiles import load, names

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ferry-profiles", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            profile_commands.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def outer(tmp_path: Path) -> Host:
    return outer_host(tmp_path / "outer")


@pytest.fixture
def inner(tmp_path: Path) -> Host:
    return inner_host(tmp_path / "inner")


def test_list_names_every_profile_with_its_exchange(run: Run) -> None:
    code, out, _ = run("list")
    assert code == 0
    for line, name in zip(out.splitlines(), names(), strict=True):
        assert line.split()[0] == name
        assert load(name).title in line
        assert load(name).title_zh in line


def test_show_gives_the_profile_and_its_samples(run: Run) -> None:
    code, out, _ = run("show", "payment")
    assert code == 0
    assert out.startswith(load("payment").text)
    for file in (*load("payment").accepted, *(one.file for one in load("payment").refused)):
        assert file in out


def test_an_unknown_profile_is_told_with_those_that_there_are(run: Run) -> None:
    code, _, err = run("show", "paymant")
    assert code == 2
    assert "payment" in err


def test_the_folder_for_samples_is_made(run: Run, tmp_path: Path) -> None:
    assert run("samples", "registration", "--dir", tmp_path / "new" / "samples")[0] == 0
    assert list((tmp_path / "new" / "samples").iterdir())


def test_samples_are_written_byte_for_byte_and_over_nothing_else(run: Run, tmp_path: Path) -> None:
    profile = load("registration")
    (file, payload), *_ = profile.accepted.items()
    assert run("samples", "registration", "--dir", tmp_path)[0] == 0
    assert (tmp_path / f"accepted.{file}").read_bytes() == payload
    assert len(list(tmp_path.iterdir())) == len(profile.accepted) + len(profile.refused)
    (tmp_path / f"accepted.{file}").write_bytes(b"mine")
    code, _, err = run("samples", "registration", "--dir", tmp_path)
    assert (code, "something else" in err) == (1, True)
    assert (tmp_path / f"accepted.{file}").read_bytes() == b"mine"


def test_added_to_both_policies_and_signed_it_is_a_channel_of_both(
    run: Run, outer: Host, inner: Host
) -> None:
    before = outer.policy.read_text()
    words = ("add", "payment", "--channel", "fees", "--policy")
    assert run(*words, outer.policy, "--sender", "his-front")[0] == 0
    assert outer.policy.read_text().startswith(before)
    code, out, _ = run(*words, inner.policy, "--sink", "his-orders")
    assert code == 0
    assert 'channels = ["fees"]' in out
    assert f"sign-policy {inner.policy}" in out
    for host, load_policy in ((outer, load_outer), (inner, load_inner)):
        host.sign()
        policy = load_policy(host.policy, host.folder / "security-admin.pub")
        assert policy.channels[-1].name == "fees"
        assert policy.channels[-1].content == load("payment").content
        for schema, data in load("payment").schemas.items():
            assert (host.folder / schema).read_bytes() == data


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--sender", "his-front", "--channel", "adt"], "of this name"),
        (["--sender", "his-front", "--channel", "Bad Name"], "not valid"),
        (["--sender", "stranger"], "no sender stranger"),
        (["--sink", "his-orders"], "name --sender only"),
        ([], "name --sender only"),
    ],
)
def test_add_refuses_in_words_and_changes_nothing(
    run: Run, outer: Host, words: list[str], problem: str
) -> None:
    before = {path.name: path.read_bytes() for path in outer.folder.iterdir() if path.is_file()}
    code, _, err = run("add", "payment", "--policy", outer.policy, *words)
    assert code != 0
    assert problem in err
    after = {path.name: path.read_bytes() for path in outer.folder.iterdir() if path.is_file()}
    assert after == before


def test_a_schema_that_stands_there_and_differs_is_not_overwritten(run: Run, outer: Host) -> None:
    (schema,) = load("payment").schemas
    (outer.folder / schema).write_bytes(b"{}")
    before = outer.policy.read_text()
    code, _, err = run("add", "payment", "--policy", outer.policy, "--sender", "his-front")
    assert (code, schema in err) == (1, True)
    assert (outer.folder / schema).read_bytes() == b"{}"
    assert outer.policy.read_text() == before


def test_messages_are_tried_on_a_channel_of_an_unsigned_policy(
    run: Run, inner: Host, tmp_path: Path
) -> None:
    assert run("samples", "registration", "--dir", tmp_path)[0] == 0
    assert run("add", "registration", "--policy", inner.policy, "--sink", "his-adt")[0] == 0
    trial = ("try", "--policy", inner.policy, "--channel", "registration")
    accepted, refused = sorted(tmp_path.glob("accepted.*")), sorted(tmp_path.glob("refused.*"))
    code, out, _ = run(*trial, *accepted)
    assert code == 0
    assert out.count(": accepted, ADT^A") == len(accepted)
    religion = tmp_path / "refused.field_not_allowed.religion.hl7"
    code, out, _ = run(*trial, *accepted, *refused, religion)
    assert code == 1
    assert f"{religion}: field_not_allowed, PID-17 (segment 3)" in out
    assert f"accepted: {len(accepted)} of {len(accepted) + len(refused) + 1}" in out
    assert "2 times field_not_allowed, PID-17\n" in out
    assert "张" not in out


@pytest.mark.parametrize(
    ("change", "channel", "problem"),
    [
        (("", ""), "nothing", "It has adt, orders"),
        (('segments = "any"', 'segments = "some"'), "adt", "content.hl7v2.segments of channel adt"),
        (("[channels.content.json]", "[channels.contents.json]"), "orders", "has no content"),
        (('schema_file = "order.', 'schema_file = "gone.'), "orders", "gone.schema.json"),
        (('messages = ["ADT^*"]\nsegments = "any"', ""), "adt", "content.hl7v2"),
    ],
)
def test_what_cannot_be_tried_is_told(
    run: Run, inner: Host, change: tuple[str, str], channel: str, problem: str
) -> None:
    inner.policy.write_text(inner.policy.read_text().replace(*change))
    words = ("try", "--policy", inner.policy, "--channel", channel, inner.policy)
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert problem in err
