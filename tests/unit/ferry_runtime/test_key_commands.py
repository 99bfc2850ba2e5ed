from __future__ import annotations

import hashlib
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from ferry_format.keys import KeyKind
from ferry_runtime.audit import AuditTrail
from ferry_runtime.commands import audit as audit_commands
from ferry_runtime.commands import keys as key_commands
from inner_agent.policy import load_policy
from tests.simulator.configured_site import Host, inner_host, make_key, outer_host

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def call(
        *words: object, main: Callable[[], object] = key_commands.main
    ) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["ferry-keys", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return inner_host(tmp_path / "inner")


@pytest.mark.parametrize("kind", ["sender", "receiver", "audit", "security-admin", "journal"])
def test_generate_makes_a_secret_and_what_may_travel(run: Run, tmp_path: Path, kind: str) -> None:
    code, out, _ = run("generate", kind, "one", "--dir", tmp_path)
    assert code == 0
    assert stat.S_IMODE((tmp_path / "one.key").stat().st_mode) == 0o600
    assert (tmp_path / "one.pub").exists() == (kind != "journal")
    secret = (tmp_path / "one.key").read_text().split('private = "')[1].split('"')[0]
    code, shown, _ = run("show", tmp_path / "one.key")
    assert (code, secret in out + shown) == (0, False)
    assert f"kind: {kind}" in shown
    if kind != "journal":
        (fingerprint,) = re.findall("fingerprint: .*", out)
        assert fingerprint in shown
        assert fingerprint in run("show", tmp_path / "one.pub")[1]


@pytest.mark.parametrize("existing", ["one.key", "one.pub"])
def test_generate_never_overwrites(run: Run, tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("kept")
    code, _, err = run("generate", "sender", "one", "--dir", tmp_path)
    assert code == 1
    assert "exists already" in err
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(existing, "kept")]


def test_trust_appends_and_keeps_every_other_byte(run: Run, host: Host, tmp_path: Path) -> None:
    new = make_key(tmp_path, KeyKind.SIGN, "front-2")
    before = "# a comment\n" + host.policy.read_text()
    host.policy.write_text(before)
    code, out, _ = run(
        "trust", tmp_path / "front-2.pub", "--policy", host.policy, "--channel", "adt"
    )
    assert code == 0
    assert "sign-policy" in out
    text = host.policy.read_text()
    assert text.startswith(before)
    added = tomllib.loads(text)["senders"][-1]
    assert added == {"name": "front-2", "key": new.public.token, "channels": ["adt"]}
    host.sign()
    assert len(load_policy(host.policy, host.folder / "security-admin.pub").senders) == 2


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["front-1.pub", "--channel", "adt"], "in the policy already"),
        (["new.pub"], "no channel is named"),
        (["new.pub", "--channel", "gone"], "no channel gone"),
        (["new.pub", "--channel", "adt", "--name", "front-1"], "of this name"),
        (["new.pub", "--channel", "adt", "--name", "Bad Name"], "not valid"),
        (["new.key", "--channel", "adt"], "not a public key"),
        (["his.pub", "--channel", "adt"], "ferry-receive-1 key"),
        (["gone.pub", "--channel", "adt"], "No such file"),
        (["policy.toml", "--channel", "adt"], "cannot be used"),
    ],
)
def test_trust_refuses_in_words_and_changes_nothing(
    run: Run, host: Host, words: list[str], problem: str
) -> None:
    make_key(host.folder, KeyKind.SIGN, "new")
    before = host.policy.read_bytes()
    code, _, err = run("trust", host.folder / words[0], *words[1:], "--policy", host.policy)
    assert (code, problem in err) == (1, True), err
    assert host.policy.read_bytes() == before


def test_trust_names_the_receiver_of_an_outer_policy_once(run: Run, tmp_path: Path) -> None:
    host = outer_host(tmp_path / "outer")
    pub = host.folder / "his.pub"
    code, _, err = run("trust", pub, "--policy", host.policy)
    assert (code, "already" in err) == (1, True)
    text = re.sub(r"\[receiver\]\n.*\n", "", host.policy.read_text())
    host.policy.write_text(text)
    assert run("trust", pub, "--policy", host.policy)[0] == 0
    assert (
        tomllib.loads(host.policy.read_text())["receiver"]["key"] == host.keys["his"].public.token
    )
    assert run("trust", pub, "--policy", host.policy, "--name", "x")[0] == 2


@pytest.mark.parametrize("line", ["", "revoked = false  # for now\n"])
def test_revoke_changes_one_table_and_nothing_else(run: Run, host: Host, line: str) -> None:
    text = host.policy.read_text().replace("not_before", line + "not_before")
    host.policy.write_text(text)
    before = tomllib.loads(text)
    assert run("revoke", "--policy", host.policy, "--name", "front-1")[0] == 0
    after = tomllib.loads(host.policy.read_text())
    assert after["senders"][0].pop("revoked") is True
    before["senders"][0].pop("revoked", None)
    assert after == before
    code, _, err = run("revoke", "--policy", host.policy, "--name", "front-1")
    assert (code, "already" in err) == (1, True)
    assert run("revoke", "--policy", host.policy, "--name", "gone")[0] == 1


def test_sign_policy_makes_the_signature_that_the_agent_wants(run: Run, host: Host) -> None:
    host.policy.write_text(host.policy.read_text() + "\n# changed\n")
    code, out, _ = run("sign-policy", host.policy, "--key", host.folder / "security-admin.key")
    assert code == 0
    assert hashlib.sha256(host.policy.read_bytes()).hexdigest() in out
    load_policy(host.policy, host.folder / "security-admin.pub")


def test_sign_policy_refuses_other_and_exposed_keys(run: Run, host: Host) -> None:
    code, _, err = run("sign-policy", host.policy, "--key", host.folder / "audit.key")
    assert (code, "ferry-security-admin-1" in err) == (1, True)
    (host.folder / "security-admin.key").chmod(0o644)
    code, _, err = run("sign-policy", host.policy, "--key", host.folder / "security-admin.key")
    assert (code, "0600" in err) == (1, True)


def test_an_api_key_is_shown_once_with_its_hash(run: Run) -> None:
    code, out, _ = run("api-key")
    key, digest = re.findall(r"API key: (\S{43})\n.*\[\"([0-9a-f]{64})\"\]", out)[0]
    assert code == 0
    assert hashlib.sha256(key.encode()).hexdigest() == digest
    assert run("api-key")[1] != out


@pytest.mark.parametrize(
    "words", [["generate", "teapot", "x"], ["generate"], ["trust", "x.pub"], ["nothing"]]
)
def test_wrong_usage_is_exit_code_2(run: Run, words: list[str]) -> None:
    assert run(*words)[0] == 2


@pytest.mark.parametrize("words", [[], *[[one] for one in key_commands.cli.commands]], ids=str)
def test_help_names_the_exit_codes(run: Run, words: list[str]) -> None:
    code, out, _ = run(*words, "--help")
    assert code == 0
    assert "Exit codes: 0 done" in out


def test_the_console_module_runs_as_a_process(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ferry_runtime.commands.keys import main; main()",
            "show",
            tmp_path / "x",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Error: {tmp_path}/x: No such file or directory.\n"


def test_ferry_audit_verifies_and_says_so(run: Run, tmp_path: Path) -> None:
    key = make_key(tmp_path, KeyKind.AUDIT, "audit")
    trail = AuditTrail(tmp_path / "trail", "front-1", key)
    trail.record("one")
    trail.close()
    words = ("verify", tmp_path / "trail", "--key", tmp_path / "audit.pub")
    code, out, _ = run(*words, main=audit_commands.main)
    assert (code, "result: whole" in out, "ended by a close" in out) == (0, True, True)
    noted = re.findall(r"last checkpoint: (\S+)", out)[0]
    assert run(*words, "--expect", noted, main=audit_commands.main)[0] == 0
    assert run(*words, "--expect", "nonsense", main=audit_commands.main)[0] == 2
    (file,) = (tmp_path / "trail").iterdir()
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))
    assert run(*words, main=audit_commands.main)[0] == 0
    code, out, _ = run(*words, "--expect", noted, main=audit_commands.main)
    assert (code, "NOT WHOLE" in out) == (1, True)
    code, out, _ = run(*words, "--json", main=audit_commands.main)
    assert (code, '"is_whole": true' in out) == (0, True)
    code, _, err = run(
        "verify", tmp_path, "--key", tmp_path / "audit.key", main=audit_commands.main
    )
    assert (code, "private key" in err) == (1, True)
