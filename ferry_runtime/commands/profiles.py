"""`ferry-profiles`: ready channel profiles, and a policy's channel that begins from one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from ferry_runtime.commands import policy_text
from ferry_runtime.commands.failure import EXIT_CODES, fail, run
from ferry_runtime.commands.policy_file import read_policy, replace_policy
from ferry_runtime.commands.trial import try_messages
from ferry_runtime.regular_file import read_regular
from ferry_runtime.whole_file import create_file
from validators.profiles import Profile, load, names

_PUBLIC_MODE: Final = 0o644


class _ProfileName(click.ParamType[Profile]):
    """A profile's name on the command line."""

    name = "PROFILE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Profile:
        """The profile of that name."""
        if value not in names():
            self.fail(f"no profile has this name; there are {', '.join(names())}", param, ctx)
        return load(str(value))


_PROFILE = click.argument("profile", type=_ProfileName())


@click.group(epilog=EXIT_CODES)
def cli() -> None:
    """Ready channel profiles for the security administrator's policies.

    A profile is where a channel begins: add it to both policies, read it, change it to what the
    systems really exchange, sign.
    """


@cli.command("list", epilog=EXIT_CODES)
def list_profiles() -> None:
    """List the profiles."""
    width = max(map(len, names()))
    for profile in map(load, names()):
        click.echo(f"{profile.name:{width}}  {profile.title}  {profile.title_zh}")


@cli.command(epilog=EXIT_CODES)
@_PROFILE
def show(profile: Profile) -> None:
    """Show PROFILE as it stands, and its samples."""
    click.echo(profile.text.rstrip())
    click.echo(f"\n# accepted samples: {', '.join(profile.accepted)}")
    click.echo(f"# refused samples: {', '.join(each.file for each in profile.refused)}")


@cli.command(epilog=EXIT_CODES)
@_PROFILE
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    help="Where to; made if it is not there.",
)
def samples(profile: Profile, folder: Path) -> None:
    """Write PROFILE's samples into a folder: messages to try a channel with. No real patient's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, payload in profile.accepted.items():
        _write(folder / f"accepted.{name}", payload)
    for refusal in profile.refused:
        _write(folder / f"refused.{refusal.file}", refusal.payload)


@cli.command(epilog=EXIT_CODES)
@_PROFILE
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The policy.toml to change, the outer's or the inner's.",
)
@click.option("--channel", help="Name of the channel; the profile's own if left out.")
@click.option("--sender", "senders", multiple=True, help="Outer: who may send; may be repeated.")
@click.option("--sink", help="Inner: the sink that gets the messages.")
def add(
    profile: Profile, file: Path, channel: str | None, senders: Sequence[str], sink: str | None
) -> None:
    """Add a channel that begins from PROFILE to a policy; its schema is written beside the policy.

    The rest of the file stays as it is. Do it to both policies, read and change the channel, and
    sign.
    """
    text, name = read_policy(file), channel or profile.name
    side = policy_text.side(text)
    if side == "outer" and senders and sink is None:
        table = profile.outer_channel(name, senders)
    elif side == "inner" and sink is not None and not senders:
        table = profile.inner_channel(name, sink)
    else:
        needed = "--sender" if side == "outer" else "--sink"
        raise click.UsageError(f"This is an {side}'s policy: name {needed} only.")
    changed = policy_text.with_channel(text, name, table, senders)
    for schema, data in profile.schemas.items():
        _write(file.with_name(schema), data)
    replace_policy(file, changed)
    click.echo(f"added: channel {name}. Read it and change it to what is really exchanged")
    if side == "inner":
        click.echo(f'Each [[senders]] table that may send on it names it: channels = ["{name}"]')
    click.echo(f"Then sign: ferry-keys sign-policy {file} --key FILE")


cli.add_command(try_messages)


def main() -> NoReturn:
    """Entry point of the console script."""
    run(cli)


def _write(path: Path, data: bytes) -> None:
    """A new file; one that holds just this may be there already."""
    if path.exists() or path.is_symlink():
        if path.is_symlink() or read_regular(path, len(data) + 1) != data:
            fail(f"{path} exists already and holds something else", "Move it away")
    else:
        create_file(path, data, _PUBLIC_MODE)
        click.echo(f"written: {path}")


if __name__ == "__main__":
    main()
