"""The first set-up of both hosts, by the commands alone, with the three roles' parts kept apart."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ferry_runtime.chosen_channel import ChosenChannel
from ferry_runtime.commands.first_answers import Answers
from ferry_runtime.commands.keys import cli as ferry_keys
from ferry_runtime.problem_words import Mistake
from inner_agent.__main__ import cli as ferry_inner
from inner_agent.setup_commands import named
from outer_agent.__main__ import cli as ferry_outer
from outer_agent.config import load_config
from outer_agent.first_files import outer_toml
from validators import profiles
from validators.policy import ContentPolicy
from validators.profiles import Profile

WORDS = re.compile(r"in words: (.*)")
DIGITS = re.compile(r"in digits: (.*)")


@dataclass
class Hosts:
    """Both hosts and the security administrator's computer, each a folder."""

    root: Path
    channels: tuple[str, ...] = ("adt=registration", "appointment-json")

    def outer(self, *options: str, asked: str = "") -> Result:
        arguments = ["init", "--folder", self.at("outer"), *options]
        return CliRunner().invoke(ferry_outer, arguments, input=asked)

    def inner(self, *options: str, asked: str = "") -> Result:
        arguments = ["init", "--folder", self.at("inner"), *options]
        return CliRunner().invoke(ferry_inner, arguments, input=asked)

    def ceremony(self, *options: str) -> Result:
        folders = [self.at("outer/handover"), self.at("inner/handover")]
        key = ["--key", self.at("safe.key")]
        return CliRunner().invoke(ferry_keys, ["ceremony", *folders, *key, *options])

    def at(self, name: str) -> str:
        return str(self.root / name)

    def paths(self, side: str) -> list[str]:
        chosen = [word for one in self.channels for word in ("--channel", one)]
        medium, state = self.at("medium"), self.at(f"{side}-state")
        own = [
            "--medium",
            medium,
            "--state-dir",
            state,
            "--audit-dir",
            self.at(f"{side}-log/audit"),
        ]
        return [*chosen, *own, "--yes"]

    def sinks(self) -> list[str]:
        names = [one.partition("=")[0] for one in self.channels]
        return [word for one in names for word in ("--sink", f"{one}={self.at(f'out-{one}')}")]

    def signed(self) -> tuple[str, str]:
        """As far as the policies are signed; the outer's words, and the administrator's."""
        outer, inner = (
            self.outer(*self.paths("outer")),
            self.inner(*self.paths("inner"), *self.sinks()),
        )
        assert (outer.exit_code, inner.exit_code) == (0, 0), outer.output + inner.output
        [sender], [receiver] = WORDS.findall(outer.output), DIGITS.findall(inner.output)
        done = self.ceremony("--yes", "--sender", sender, "--receiver", receiver)
        assert done.exit_code == 0, done.output + str(done.exception)
        return sender, WORDS.findall(done.output)[0]


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    (tmp_path / "medium").mkdir()
    return Hosts(tmp_path)


def check(hosts: Hosts, side: str, monkeypatch: pytest.MonkeyPatch) -> Result:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", hosts.at(f"{side}/keys"))
    cli = ferry_outer if side == "outer" else ferry_inner
    return CliRunner().invoke(cli, ["check", "--config", hosts.at(f"{side}/{side}.toml")])


@pytest.mark.parametrize("profile", [(name,) for name in profiles.names()], ids=profiles.names())
def test_what_the_commands_write_is_good_for_every_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: tuple[str, ...]
) -> None:
    (tmp_path / "medium").mkdir()
    hosts = Hosts(tmp_path, profile)
    admin = hosts.signed()[1]
    for side, init in (("outer", hosts.outer), ("inner", hosts.inner)):
        done = init("--yes", "--security-admin", admin)
        assert done.exit_code == 0, done.output + str(done.exception)
        checked = check(hosts, side, monkeypatch)
        assert checked.exit_code == 0, checked.output


def test_each_step_says_who_does_what_next_and_may_be_repeated(hosts: Hosts) -> None:
    first = hosts.outer(*hosts.paths("outer"))
    assert "ferry-keys ceremony OUTER INNER" in first.output
    before = {path: path.read_bytes() for path in Path(hosts.at("outer")).rglob("*.*")}
    assert (Path(hosts.at("outer/keys/sender.key")).stat().st_mode & 0o777) == 0o600
    again = hosts.outer("--yes")
    assert (again.exit_code, "made:" in again.output) == (0, False)
    assert {path: path.read_bytes() for path in Path(hosts.at("outer")).rglob("*.*")} == before
    assert WORDS.findall(again.output) == WORDS.findall(first.output)


def test_it_asks_for_what_no_option_says(hosts: Hosts) -> None:
    paths = hosts.paths("outer")[4:-1]
    done = hosts.outer(*paths, asked="front-9\nlane-9\nadt=registration\n")
    assert done.exit_code == 0, done.output
    config = tomllib.loads(Path(hosts.at("outer/outer.toml")).read_text())
    draft = tomllib.loads(Path(hosts.at("outer/handover/policy.toml")).read_text())
    assert (config["agent"]["name"], draft["lane"]) == ("front-9", "lane-9")
    assert [one["name"] for one in draft["channels"]] == ["adt"]


def test_a_fingerprint_that_was_misheard_is_asked_for_again(hosts: Hosts) -> None:
    admin = hosts.signed()[1]
    paths = ["--signed", hosts.at("outer/handover")]
    done = hosts.outer(*paths, asked=f"{'abandon ' * 12}\n{admin}\n")
    assert done.exit_code == 0, done.output
    assert "the words of another key" in done.output
    assert Path(hosts.at("outer/policy.toml")).exists()


def test_a_lost_key_is_not_made_anew_in_silence(hosts: Hosts) -> None:
    hosts.outer(*hosts.paths("outer"))
    Path(hosts.at("outer/keys/sender.key")).unlink()
    again = hosts.outer("--yes")
    assert again.exit_code != 0
    assert "sender.key" in str(again.exception)
    assert not Path(hosts.at("outer/keys/sender.key")).exists()


def test_the_system_administrators_part_leaves_no_signature(hosts: Hosts) -> None:
    hosts.outer(*hosts.paths("outer"))
    hosts.inner(*hosts.paths("inner"), *hosts.sinks())
    assert not list(hosts.root.rglob("*.sig"))
    assert not list(hosts.root.rglob("security-admin*"))
    assert not Path(hosts.at("outer/policy.toml")).exists()


@pytest.mark.parametrize("typed", ["", "abandon " * 12, "00000 " * 8])
def test_a_key_whose_fingerprint_was_not_read_out_is_not_trusted(hosts: Hosts, typed: str) -> None:
    outer = hosts.outer(*hosts.paths("outer"))
    hosts.inner(*hosts.paths("inner"), *hosts.sinks())
    sender = WORDS.findall(outer.output)[0]
    refused = hosts.ceremony("--yes", "--sender", sender, "--receiver", typed)
    assert isinstance(refused.exception, Mistake)
    assert not list(hosts.root.rglob("*.sig"))


def test_a_policy_that_somebody_else_signed_is_not_taken(hosts: Hosts) -> None:
    sender, _ = hosts.signed()
    refused = hosts.outer("--yes", "--security-admin", sender)
    assert isinstance(refused.exception, Mistake)
    assert not Path(hosts.at("outer/policy.toml")).exists()


def test_a_policy_that_was_changed_on_its_way_back_is_not_taken(hosts: Hosts) -> None:
    admin = hosts.signed()[1]
    carried = Path(hosts.at("outer/handover/policy.toml"))
    carried.write_text(carried.read_text().replace("65_536", "65_537"))
    refused = hosts.outer("--yes", "--security-admin", admin)
    assert refused.exit_code != 0
    assert "policy_not_signed" in str(refused.exception)
    assert not Path(hosts.at("outer/policy.toml")).exists()


def test_a_policy_that_is_there_is_not_written_over(hosts: Hosts) -> None:
    admin = hosts.signed()[1]
    assert hosts.outer("--yes", "--security-admin", admin).exit_code == 0
    Path(hosts.at("outer/policy.toml")).write_text("# another\n")
    refused = hosts.outer(
        "--yes", "--signed", hosts.at("outer/handover"), "--security-admin", admin
    )
    assert isinstance(refused.exception, Mistake)
    assert Path(hosts.at("outer/policy.toml")).read_text() == "# another\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('lane = "front-to-his"', 'lane = "elsewhere"', "different lanes"),
        ('name = "adt"', 'name = "adt2"', "no channel adt"),
        ("segments_max = 100", "segments_max = 101", "different things of channel adt"),
        ('side = "inner"', 'side = "outer"', "another side's policy"),
    ],
)
def test_drafts_that_do_not_fit_are_not_signed(hosts: Hosts, old: str, new: str, told: str) -> None:
    outer = hosts.outer(*hosts.paths("outer"))
    inner = hosts.inner(*hosts.paths("inner"), *hosts.sinks())
    draft = Path(hosts.at("inner/handover/policy.toml"))
    assert old in draft.read_text()
    draft.write_text(draft.read_text().replace(old, new))
    typed = ["--sender", *WORDS.findall(outer.output), "--receiver", *WORDS.findall(inner.output)]
    refused = hosts.ceremony("--yes", *typed)
    assert isinstance(refused.exception, Mistake)
    assert told in str(refused.exception)
    assert not list(hosts.root.rglob("*.sig"))


@pytest.mark.parametrize("place", ["outer/safe.key", "inner/handover/safe.key"])
def test_the_secret_key_is_not_made_where_the_folders_travel(hosts: Hosts, place: str) -> None:
    outer = hosts.outer(*hosts.paths("outer"))
    inner = hosts.inner(*hosts.paths("inner"), *hosts.sinks())
    typed = ["--sender", *WORDS.findall(outer.output), "--receiver", *WORDS.findall(inner.output)]
    refused = hosts.ceremony("--yes", *typed, "--key", hosts.at(place))
    assert isinstance(refused.exception, Mistake)
    assert "travel with it" in str(refused.exception)
    assert not Path(hosts.at(place)).exists()
    assert not list(hosts.root.rglob("*.sig"))


def test_the_ceremony_goes_on_where_it_was(hosts: Hosts) -> None:
    sender, _ = hosts.signed()
    policy = Path(hosts.at("outer/handover/policy.toml")).read_text()
    receiver = hosts.inner("--yes", "--security-admin", "x")
    assert isinstance(receiver.exception, Mistake)
    shown = CliRunner().invoke(ferry_keys, ["show", hosts.at("inner/handover/receiver.pub")])
    again = hosts.ceremony("--yes", "--sender", sender, "--receiver", *WORDS.findall(shown.output))
    assert again.exit_code == 0, again.exception
    assert "API key" not in again.output
    assert Path(hosts.at("outer/handover/policy.toml")).read_text() == policy


@pytest.mark.parametrize(
    ("sink", "written"),
    [
        ("mllp://his.example:2575", {"kind": "mllp", "host": "his.example", "port": 2575}),
        ("mllp://127.0.0.1:2575", {"kind": "mllp", "host": "127.0.0.1", "port": 2575}),
        ("https://his.example/in", {"kind": "http", "url": "https://his.example/in"}),
        ("http://127.0.0.1:99/in", {"kind": "http", "url": "http://127.0.0.1:99/in"}),
    ],
)
def test_a_sink_is_written_as_it_was_said(hosts: Hosts, sink: str, written) -> None:
    hosts.channels = ("adt=registration",)
    done = hosts.inner(*hosts.paths("inner"), "--sink", f"adt={sink}")
    assert done.exit_code == 0, done.exception
    [table] = tomllib.loads(Path(hosts.at("inner/inner.toml")).read_text())["sinks"]
    assert {key: table[key] for key in written} == written
    assert ("tls_ca" in table) == ("example" in sink)


@pytest.mark.parametrize(
    ("sink", "needed"),
    [
        ("mllp://10.1.2.3:2575", "IPAddressAllow=10.1.2.3"),
        ("https://his.example/in", "IPAddressAllow=ADDRESS-OF-his.example"),
        ("FOLDER", "ReadWritePaths=FOLDER"),
        ("http://127.0.0.1:99/in", None),
    ],
)
def test_what_the_replayers_unit_needs_beyond_itself_is_written(
    hosts: Hosts, sink: str, needed: str | None
) -> None:
    hosts.channels = ("adt=registration",)
    where = sink.replace("FOLDER", hosts.at("out"))
    hosts.inner(*hosts.paths("inner"), "--sink", f"adt={where}")
    drop_in = Path(hosts.at("inner/replayer-site.conf"))
    assert drop_in.exists() == (needed is not None)
    if needed is not None:
        assert needed.replace("FOLDER", hosts.at("out")) in drop_in.read_text().splitlines()


@pytest.mark.parametrize("sink", ["adt=ftp://his/", "adt=mllp://his", "other=/x", "adt=his:2575"])
def test_a_sink_that_is_none_is_told_and_nothing_is_made(hosts: Hosts, sink: str) -> None:
    hosts.channels = ("adt=registration",)
    refused = hosts.inner(*hosts.paths("inner"), "--sink", sink)
    assert isinstance(refused.exception, Mistake)
    assert not Path(hosts.at("inner")).exists()


def test_modalities_get_a_c_store_listener_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    content = ContentPolicy.model_validate({"dicom": {"sop_classes": ["CTImageStorage"]}})
    text = '[outer]\n[inner]\n[content.dicom]\nsop_classes = ["CTImageStorage"]\n'
    profile = Profile("image", "Images", "影像", content, None, {}, {}, (), text)
    channels = tuple(ChosenChannel(name, profile) for name in ("ct", "mr"))
    answers = Answers("front-1", "lane", channels, tmp_path, tmp_path, tmp_path)
    (tmp_path / "outer.toml").write_text(outer_toml(answers))
    sources = load_config(tmp_path / "outer.toml").sources
    assert [(one.kind, getattr(one, "listen", "")) for one in sources] == [
        ("dicom", "127.0.0.1:11112"),
        ("dicom", "127.0.0.1:11113"),
    ]


@pytest.mark.parametrize("code", ["x", "2ede2d20", "2ede2d20-", "17"])
def test_a_code_that_is_none_is_told(code: str) -> None:
    with pytest.raises(Mistake, match="is no code"):
        named(code, [])


def test_nothing_of_the_handover_is_secret(hosts: Hosts) -> None:
    hosts.signed()
    for side in ("outer", "inner"):
        shutil.copytree(hosts.at(f"{side}/handover"), hosts.at(f"carried/{side}"))
    carried = [path for path in Path(hosts.at("carried")).rglob("*") if path.is_file()]
    assert not [path for path in carried if b"private" in path.read_bytes()]
