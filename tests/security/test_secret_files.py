from __future__ import annotations

import os
from pathlib import Path

import pytest

from ferry_format.keys import KeyKind
from ferry_format.reasons import BAD_KEY_FILE, KEY_FILE_EXPOSED, Refused
from ferry_runtime import secrets
from tests.simulator.configured_site import make_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_bytes(b"value")
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_closed_file_is_read(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert secrets.read_secret(file) == b"value"


@pytest.mark.parametrize("bit", [0o001, 0o002, 0o004, 0o010, 0o020, 0o040])
def test_any_right_of_others_is_refused(file: Path, bit: int) -> None:
    file.chmod(0o600 | bit)
    with pytest.raises(Refused) as refusal:
        secrets.read_secret(file)
    assert refusal.value.reason is KEY_FILE_EXPOSED
    assert str(file) in refusal.value.where


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(file: Path) -> None:
    os.chown(file, 65534, 0)
    with pytest.raises(Refused) as refusal:
        secrets.read_secret(file)
    assert refusal.value.reason is KEY_FILE_EXPOSED


@pytest.mark.parametrize("kind", ["link", "fifo", "folder", "missing", "huge"])
def test_only_an_ordinary_file_of_ordinary_size_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "link":
        make_key(tmp_path, KeyKind.SIGN, "front-1")
        path.symlink_to("front-1.key")
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "folder":
        path.mkdir(mode=0o700)
    elif kind == "huge":
        path.touch(mode=0o600)
        os.truncate(path, 1 << 40)
    with pytest.raises(Refused) as refusal:
        secrets.read_secret(path)
    assert refusal.value.reason is BAD_KEY_FILE


def test_a_systemd_credential_may_show_its_acl_as_group_read(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.chmod(0o440)
    with pytest.raises(Refused):
        secrets.read_secret(file)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert secrets.read_secret(file) == b"value"
    file.chmod(0o444)
    with pytest.raises(Refused):
        secrets.read_secret(file)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path.parent))
    file.chmod(0o440)
    with pytest.raises(Refused):
        secrets.read_secret(file)


def test_a_key_of_another_kind_or_part_is_refused_without_its_value(tmp_path: Path) -> None:
    make_key(tmp_path, KeyKind.SIGN, "front-1")
    (tmp_path / "front-1.pub").chmod(0o600)
    assert secrets.read_key(tmp_path / "front-1.key", KeyKind.SIGN).name == "front-1"
    for call in (
        lambda: secrets.read_key(tmp_path / "front-1.key", KeyKind.AUDIT),
        lambda: secrets.read_key(tmp_path / "front-1.pub", KeyKind.SIGN),
        lambda: secrets.read_public_key(tmp_path / "front-1.key", KeyKind.SIGN),
        lambda: secrets.read_public_key(tmp_path / "front-1.pub", KeyKind.AUDIT),
    ):
        with pytest.raises(Refused) as refusal:
            call()
        assert refusal.value.reason is BAD_KEY_FILE
        private = (tmp_path / "front-1.key").read_text().split('private = "')[1].split('"')[0]
        assert private not in str(refusal.value)


def test_a_broken_key_file_does_not_show_its_content(tmp_path: Path) -> None:
    path = tmp_path / "broken.key"
    path.touch(mode=0o600)
    path.write_bytes(b"\xff private = SECRETWORD")
    with pytest.raises(Refused) as refusal:
        secrets.read_key(path, KeyKind.SIGN)
    assert "SECRETWORD" not in str(refusal.value)
