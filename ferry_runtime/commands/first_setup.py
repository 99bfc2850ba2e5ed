"""What `ferry-outer init` and `ferry-inner init` share: each step is done once, and told.

Nothing that is there is written over. A policy is drafted here, and never signed here: it comes
back from the security administrator, and is taken only with their key's fingerprint.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import click

from ferry_format import keys
from ferry_format.keys import KeyFile, KeyKind, PublicKey
from ferry_runtime import policy, secrets, spoken_fingerprint
from ferry_runtime.chosen_channel import ChosenChannel
from ferry_runtime.commands.first_answers import Answers, Given
from ferry_runtime.problem_words import Mistake
from ferry_runtime.regular_file import read_regular
from ferry_runtime.whole_file import create_file
from validators.policy import SchemaFile

HANDOVER: Final = "handover"
POLICY: Final = "policy.toml"
ADMIN_KEY: Final = "security-admin.pub"
_PRIVATE_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_CLOSED_FOLDER: Final = 0o700
_OPEN_FOLDER: Final = 0o755
_FILE_BYTES_MAX: Final = 16 * 1024 * 1024


class SignedPolicy(Protocol):
    """Either side's policy."""

    def schema_files(self) -> Iterable[SchemaFile]:
        """Every schema that the channels name."""


def make_folder(path: Path, mode: int, user: str | None = None) -> None:
    """Make a folder that is not there, for `user` if this is root and the user is known."""
    if path.is_dir():
        return
    path.mkdir(mode, parents=True)
    path.chmod(mode)
    if user is not None and os.geteuid() == 0:
        with suppress(KeyError):
            entry = pwd.getpwnam(user)
            os.chown(path, entry.pw_uid, entry.pw_gid)
    click.echo(f"made: {path}")


def make_state(answers: Answers, user: str) -> None:
    """Make the folders that the agent writes."""
    make_folder(answers.state_dir, _CLOSED_FOLDER, user)
    make_folder(answers.audit_dir.parent, 0o750, user)


def make_key(folder: Path, file: str, kind: KeyKind, name: str) -> KeyFile:
    """The private key in `folder`/`file`.key; made if it is not there, with its .pub.

    Raises Refused if what is there cannot be used.
    """
    make_folder(folder, _CLOSED_FOLDER)
    path = folder / f"{file}.key"
    if not path.exists():
        place(path, keys.private_text(keys.generate(kind, name, datetime.now(UTC))), _PRIVATE_MODE)
    key = secrets.read_key(path, kind)
    if key.public is not None:
        place(folder / f"{file}.pub", keys.public_text(key))
    return key


def place(path: Path, content: str | bytes, mode: int = _PUBLIC_MODE) -> None:
    """Write a file, durably, if it is not there. Raises Mistake if it holds something else."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() or path.is_symlink():
        if read_regular(path, _FILE_BYTES_MAX) != data:
            raise Mistake(
                f"{path} is there and holds something else",
                "Nothing is written over: move it away, or change it by hand",
            )
        return
    make_folder(path.parent, _OPEN_FOLDER)
    create_file(path, data, mode)
    click.echo(f"made: {path}")


def hand_over(
    folder: Path, channels: Iterable[ChosenChannel], policy_text: str, public: Mapping[str, KeyFile]
) -> None:
    """Fill the folder that goes to the security administrator: draft, schemas, public keys."""
    for name, key in public.items():
        place(folder / f"{name}.pub", keys.public_text(key))
    for channel in channels:
        for name, data in channel.profile.schemas.items():
            place(folder / name, data)
    if not (folder / POLICY).exists():
        place(folder / POLICY, policy_text)


def take_signed(given: Given, load: Callable[[Path, Path], SignedPolicy]) -> None:
    """Take the signed policy, and all that belongs to it, if it came back.

    It lies where it was said, or where it had gone from. Raises Mistake, Refused or
    ConfigurationError.
    """
    here = given.folder / HANDOVER
    carried = given.signed
    if carried is None and not (given.folder / POLICY).exists():
        carried = here if policy.signature_path(here / POLICY).exists() else None
    if carried is None:
        return
    admin = secrets.read_public_key(carried / ADMIN_KEY, KeyKind.SECURITY_ADMIN)
    whose = "the security administrator's"
    compare_fingerprint(admin, given.security_admin, whose, asks=given.asks)
    for schema in load(carried / POLICY, carried / ADMIN_KEY).schema_files():
        text = policy.read_schema(carried, schema.file, schema.sha256)
        place(given.folder / schema.file, text)
    signature = policy.signature_path(carried / POLICY).name
    for name in (ADMIN_KEY, POLICY, signature):
        place(given.folder / name, read_regular(carried / name, _FILE_BYTES_MAX))


def compare_fingerprint(key: PublicKey, given: str | None, whose: str, *, asks: bool) -> None:
    """Return once a key's fingerprint was typed as it was read out; asks until it is, or given up.

    Raises Mistake if it came by an option and is another, or did not come at all.
    """

    def typed(text: str) -> str:
        try:
            spoken_fingerprint.check_typed(key, text)
        except Mistake as mistake:
            raise click.BadParameter(f"{mistake.problem}. {mistake.action}") from None
        return text

    question = f"Fingerprint of {whose} key, in words or digits, as it is read out to you"
    if given is not None:
        spoken_fingerprint.check_typed(key, given)
    elif asks:
        click.prompt(question, value_proc=typed)
    else:
        raise Mistake(f"the fingerprint of {whose} key was not compared", "Give it by its option")


def tell_key(what: str, key: KeyFile) -> None:
    """Show a key's fingerprint, in every form in which it can be read out."""
    if key.public is not None:
        click.echo(f"\n{what}, to be read out to whoever gets its file:")
        for line in spoken_fingerprint.lines(key.public):
            click.echo(f"  {line}")


def tell_way_to_signing(handover: Path, program: str) -> None:
    """Say how the draft becomes a signed policy. `program` is this side's."""
    tell_next(
        [
            f"Carry {handover} to the security administrator; the other side carries its own.",
            "Read the fingerprint above out to them, by telephone or face to face.",
            "The security administrator, on their own computer: ferry-keys ceremony OUTER INNER",
            f"Here again, with the folder as it came back: {program} init --signed FOLDER",
        ]
    )
    click.echo("On a trial machine one person may do all of it; in a hospital the system")
    click.echo("administrator must not hold the security administrator's key.")


def tell_next(steps: Sequence[str]) -> None:
    """Say who does what next, and where."""
    click.echo("\nNext:")
    for number, step in enumerate(steps, 1):
        click.echo(f"  {number}. {step}")
