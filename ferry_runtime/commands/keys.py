"""`ferry-keys`: make keys, show them, trust and revoke them in a policy, sign the policy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NoReturn

import click

from ferry_format import keys, reasons
from ferry_format.identifiers import is_name
from ferry_format.keys import KeyFile, KeyKind
from ferry_format.reasons import Refused
from ferry_runtime import policy, secrets, spoken_fingerprint
from ferry_runtime.api_key import new_api_key
from ferry_runtime.commands import policy_text
from ferry_runtime.commands.ceremony import ceremony
from ferry_runtime.commands.failure import EXIT_CODES, fail, run
from ferry_runtime.commands.policy_file import read_policy, replace_policy
from ferry_runtime.configuration import DOCUMENT_BYTES_MAX
from ferry_runtime.regular_file import read_regular
from ferry_runtime.whole_file import create_file

KINDS: Final = {
    "sender": KeyKind.SIGN,
    "receiver": KeyKind.RECEIVE,
    "journal": KeyKind.JOURNAL,
    "audit": KeyKind.AUDIT,
    "security-admin": KeyKind.SECURITY_ADMIN,
    "deidentification": KeyKind.DEIDENTIFICATION,
}
_WORDS: Final = {kind: word for word, kind in KINDS.items()}
_PRIVATE_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(epilog=EXIT_CODES)
def cli() -> None:
    """Make and manage the ferry's keys.

    Private keys stay on the host that made them; only .pub files travel. Compare fingerprints by
    another way (telephone, paper) before you trust a key.
    """


@cli.command(epilog=EXIT_CODES)
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=".",
    show_default=True,
    help="Folder for the two files.",
)
def generate(kind: str, name: str, folder: Path) -> None:
    """Make a new key NAME: NAME.key (secret, mode 0600) and NAME.pub (to be passed on).

    \b
    sender          the outer's signing key
    receiver        the inner's key, for which ferry files are sealed
    journal         the inner's key for payloads at rest (no .pub)
    audit           an agent's key for its audit trail; the auditor gets the .pub
    security-admin  signs policies; keep the .key away from both hosts
    deidentification  the key of pseudonyms and date shifts (no .pub)

    An existing file is never overwritten.
    """  # noqa: D301  (click reads the backspace as "keep these lines")
    if not is_name(name):
        fail("the name is not valid", "Use 1 to 64 lower-case letters, digits and . _ -")
    key = keys.generate(KINDS[kind], name, datetime.now(UTC))
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    for path in (private, public):
        if path.exists() or path.is_symlink():
            fail(f"{path} exists already", "Choose another name, or move the old key away")
    _create(private, keys.private_text(key), _PRIVATE_MODE)
    click.echo(f"secret: {private} (mode 0600; make a backup that only you can read)")
    if key.public is not None:
        _create(public, keys.public_text(key), _PUBLIC_MODE)
        click.echo(f"public: {public}")
        for line in spoken_fingerprint.lines(key.public):
            click.echo(line)


@cli.command(epilog=EXIT_CODES)
@click.argument("file", type=_FILE)
def show(file: Path) -> None:
    """Say what is in a key FILE (.key or .pub); never shows a secret."""
    key = _any_key(file)
    click.echo(f"kind: {_WORDS[key.kind]} ({key.kind})")
    click.echo(f"part: {'private' if key.private is not None else 'public'}")
    click.echo(f"name: {key.name}")
    click.echo(f"created: {key.created.strftime('%Y-%m-%dT%H:%M:%SZ')}")
    if key.public is not None:
        for line in spoken_fingerprint.lines(key.public):
            click.echo(line)
        click.echo(f"public key: {key.public.token}")


@cli.command(epilog=EXIT_CODES)
@click.argument("pubfile", type=_FILE)
@click.option("--policy", "file", type=_FILE, required=True, help="The policy.toml to change.")
@click.option("--name", help="Name of the sender; the key's own if left out. Inner policy only.")
@click.option("--channel", "channels", multiple=True, help="Channel it may use; may be repeated.")
def trust(pubfile: Path, file: Path, name: str | None, channels: Sequence[str]) -> None:
    """Add the public key in PUBFILE to a policy.

    In an inner policy: a [[senders]] table with the sender's key and its channels. In an outer
    policy: [receiver] with the inner's key. The rest of the file stays as it is. The policy must be
    signed again afterwards.
    """
    key = _any_key(pubfile)
    if key.private is not None or key.public is None:
        fail(f"{pubfile} is not a public key's file", "Name the .pub file")
    text = read_policy(file)
    if policy_text.side(text) == "inner":
        changed = policy_text.with_sender(text, name or key.name, key.public, channels)
    elif name is not None or channels:
        raise click.UsageError("--name and --channel are for an inner policy; this is an outer's.")
    else:
        changed = policy_text.with_receiver(text, key.public)
    replace_policy(file, changed)
    click.echo(f"trusted: {name or key.name}, fingerprint {key.public.fingerprint}")
    _sign_again(file)


@cli.command(epilog=EXIT_CODES)
@click.option("--policy", "file", type=_FILE, required=True, help="The inner's policy.toml.")
@click.option("--name", required=True, help="Name of the sender whose key is revoked.")
def revoke(file: Path, name: str) -> None:
    """Write revoked = true into a sender's table of an inner policy.

    From the moment the inner loads the policy (signed again), files of this key are refused.
    """
    text = read_policy(file)
    if policy_text.side(text) != "inner":
        fail(f"{file} is an outer's policy, which trusts no senders' keys", "Name the inner's")
    replace_policy(file, policy_text.with_revoked(text, name))
    click.echo(f"revoked: {name}")
    _sign_again(file)


@cli.command("sign-policy", epilog=EXIT_CODES)
@click.argument("file", metavar="POLICY", type=_FILE)
@click.option("--key", "key_file", type=_FILE, required=True, help="security-admin .key file.")
def sign_policy(file: Path, key_file: Path) -> None:
    """Sign POLICY as the security administrator; writes POLICY.sig beside it.

    Read the policy before you sign it. Copy both files to the agent's host, then restart the agent.
    """
    key = secrets.read_key(key_file, KeyKind.SECURITY_ADMIN)
    policy_text.side(read_policy(file))
    signature = policy.sign(file, key)
    data = read_regular(file, DOCUMENT_BYTES_MAX)
    click.echo(f"signed: {file} (SHA-256 {hashlib.sha256(data).hexdigest()})")
    click.echo(f"signature: {signature}")


@cli.command("api-key", epilog=EXIT_CODES)
def api_key() -> None:
    """Print a new random API key, once, and its SHA-256 for the outer's policy.

    Give the key to the sending system; nothing keeps it. The policy gets only the hash.
    """
    key = new_api_key()
    click.echo(f"API key: {key.secret}")
    click.echo(f'policy: api_keys_sha256 = ["{key.sha256}"]')


cli.add_command(ceremony)


def main() -> NoReturn:
    """Entry point of the console script."""
    run(cli)


def _any_key(file: Path) -> KeyFile:
    try:
        data = read_regular(file, secrets.SECRET_BYTES_MAX)
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise Refused(reasons.BAD_KEY_FILE, f"{file}: not a key file") from None
    return keys.parse_key_file(text, str(file))


def _create(path: Path, text: str, mode: int) -> None:
    try:
        create_file(path, text.encode("ascii"), mode)
    except OSError as error:
        fail(f"{path}: {error.strerror}")


def _sign_again(file: Path) -> None:
    click.echo(f"Its signature no longer holds. Next: ferry-keys sign-policy {file} --key FILE")


if __name__ == "__main__":
    main()
