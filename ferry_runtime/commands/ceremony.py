"""`ferry-keys ceremony`: the security administrator's part of the first set-up, in one sitting.

Both hosts' folders come here; what they hold is compared, trusted by fingerprints that were read
out, signed, and goes back. It can be run again: what is done already is left.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from ferry_format import keys
from ferry_format.keys import KeyFile, KeyKind, PublicKey
from ferry_runtime import policy, secrets
from ferry_runtime.api_key import new_api_key
from ferry_runtime.commands import first_setup, policy_text
from ferry_runtime.commands.failure import EXIT_CODES
from ferry_runtime.commands.policy_file import read_policy, replace_policy
from ferry_runtime.problem_words import Mistake
from ferry_runtime.regular_file import read_regular

_NO_API_KEY: Final = re.compile(r"^api_keys_sha256 = \[\].*$", re.MULTILINE)
_COMPARED: Final = ("name", "content", "message_bytes_max")

Table = dict[str, Any]


@click.command(epilog=EXIT_CODES)
@click.argument("outer", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("inner", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default="security-admin.key",
    show_default=True,
    help="Your secret key; made if it is not there.",
)
@click.option("--sender", metavar="FINGERPRINT", help="Of the outer's key, as it was read out.")
@click.option("--receiver", metavar="FINGERPRINT", help="Of the inner's key, as it was read out.")
@click.option("--yes", is_flag=True, help="Ask nothing; fingerprints come by the options.")
def ceremony(
    outer: Path, inner: Path, key_file: Path, sender: str | None, receiver: str | None, *, yes: bool
) -> None:
    """Compare, trust and sign what came from both hosts, in the folders OUTER and INNER.

    They are the handover folders that `ferry-outer init` and `ferry-inner init` made. You are the
    security administrator, on a computer that is neither host.
    """
    asks = not yes
    _see_apart(key_file, outer, inner)
    drafts = {
        side: read_policy(folder / first_setup.POLICY)
        for side, folder in (("outer", outer), ("inner", inner))
    }
    for side, text in drafts.items():
        if policy_text.side(text) != side:
            raise Mistake(f"the folder {side.upper()} holds another side's policy", "Swap the two")
    compare(tomllib.loads(drafts["outer"]), tomllib.loads(drafts["inner"]))
    sender_key = _compared(outer / "sender.pub", sender, "outer", asks=asks)
    receiver_key = _compared(inner / "receiver.pub", receiver, "inner", asks=asks)
    changed, api_keys = with_api_keys(with_receiver(drafts["outer"], _public(receiver_key)))
    drafts = {"outer": changed, "inner": with_sender(drafts["inner"], sender_key)}
    admin = _admin_key(key_file)
    if asks:
        click.confirm(f"Have you read both policies in {outer} and {inner}? Sign them?", abort=True)
    for name, api_key in api_keys.items():
        click.echo(f"API key of {name}, shown once, for whoever runs that system: {api_key}")
    _sign(outer, drafts["outer"], admin)
    _sign(inner, drafts["inner"], admin)
    first_setup.tell_key("Your key (security-admin.pub)", admin)
    first_setup.tell_next(
        [
            "Read your fingerprint out to the system administrators of both hosts.",
            f"Carry {outer} back to the outer: ferry-outer init --signed FOLDER",
            f"Carry {inner} back to the inner: ferry-inner init --signed FOLDER",
            f"Keep {key_file} where neither of them can read it.",
        ]
    )


def _sign(folder: Path, text: str, admin: KeyFile) -> None:
    replace_policy(folder / first_setup.POLICY, text)
    policy.sign(folder / first_setup.POLICY, admin)
    first_setup.place(folder / first_setup.ADMIN_KEY, keys.public_text(admin))
    click.echo(f"signed: {folder / first_setup.POLICY}")


def compare(outer: Table, inner: Table) -> None:
    """Both drafts name one lane, and the same channels with the same content. Raises Mistake."""
    if outer.get("lane") != inner.get("lane"):
        raise Mistake("the two policies name different lanes", "Give both the same lane")
    theirs = {one.get("name"): one for one in inner.get("channels", [])}
    for channel in outer.get("channels", []):
        name = channel.get("name")
        other = theirs.pop(name, None)
        if other is None:
            raise Mistake(f"the inner's policy has no channel {name}", "Add it, or remove it here")
        if any(channel.get(key) != other.get(key) for key in _COMPARED):
            raise Mistake(
                f"the two policies say different things of channel {name}",
                "Make content and message_bytes_max the same in both: the stricter one decides, "
                "and what only the outer lets through ends in quarantine",
            )
    if theirs:
        raise Mistake(
            f"the outer's policy has no channel {', '.join(map(str, theirs))}",
            "Add it, or remove it from the inner's",
        )


def with_receiver(text: str, key: PublicKey) -> str:
    """The outer's policy with the inner's key, if it is not in it. Raises Mistake."""
    if tomllib.loads(text).get("receiver", {}).get("key") == key.token:
        return text
    return policy_text.with_receiver(text, key)


def with_sender(text: str, key: KeyFile) -> str:
    """The inner's policy with the outer's key for every channel, if it is not in it."""
    table = tomllib.loads(text)
    public = _public(key)
    if any(one.get("key") == public.token for one in table.get("senders", [])):
        return text
    channels = [str(one["name"]) for one in table.get("channels", [])]
    return policy_text.with_sender(text, key.name, public, channels)


def with_api_keys(text: str) -> tuple[str, dict[str, str]]:
    """The outer's policy with a new API key's hash for each sender that has none; the keys."""
    senders = tomllib.loads(text).get("senders", [])
    made = {str(one["name"]): new_api_key() for one in senders if one.get("api_keys_sha256") == []}
    for api_key in made.values():
        text = _NO_API_KEY.sub(f'api_keys_sha256 = ["{api_key.sha256}"]', text, count=1)
    return text, {name: api_key.secret for name, api_key in made.items()}


def _compared(file: Path, typed: str | None, side: str, *, asks: bool) -> KeyFile:
    """The public key that came, once its fingerprint was typed as it was read out."""
    kind = KeyKind.SIGN if side == "outer" else KeyKind.RECEIVE
    secrets.read_public_key(file, kind)
    key = keys.parse_key_file(read_regular(file, secrets.SECRET_BYTES_MAX).decode(), str(file))
    first_setup.compare_fingerprint(_public(key), typed, f"the {side}'s", asks=asks)
    return key


def _public(key: KeyFile) -> PublicKey:
    if key.public is None:
        raise Mistake(f"{key.name} has no public part", "Name a public key's file")
    return key.public


def _see_apart(key_file: Path, outer: Path, inner: Path) -> None:
    """The secret key is on no stick that the folders travel on. Raises Mistake."""
    place = key_file.resolve().parent
    for folder in (outer.resolve(), inner.resolve()):
        if place in (folder, folder.parent):
            raise Mistake(
                f"your secret key {key_file} would lie beside {folder}, and travel with it",
                "Run this in a folder of your own, or name another place by --key",
            )


def _admin_key(path: Path) -> KeyFile:
    if path.exists():
        return secrets.read_key(path, KeyKind.SECURITY_ADMIN)
    key = keys.generate(KeyKind.SECURITY_ADMIN, "security-admin", datetime.now(UTC))
    first_setup.place(path, keys.private_text(key), 0o600)
    return key
