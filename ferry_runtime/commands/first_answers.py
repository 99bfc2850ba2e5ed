"""What is asked at a first set-up, on either side: by options, and by questions for the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import click

from ferry_format.identifiers import is_name
from ferry_runtime.chosen_channel import ChosenChannel, parse_channel
from ferry_runtime.problem_words import Mistake
from validators import profiles

_FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@dataclass(frozen=True, slots=True)
class Given:
    """What the options said; None where they said nothing."""

    folder: Path
    name: str | None
    lane: str | None
    channels: tuple[str, ...]
    medium: str | None
    state_dir: str | None
    audit_dir: str | None
    signed: Path | None
    security_admin: str | None
    yes: bool

    @property
    def asks(self) -> bool:
        """Whether somebody is there who answers."""
        return not self.yes


@dataclass(frozen=True, slots=True)
class Answers:
    """What somebody who sets a side up has to say."""

    name: str
    lane: str
    channels: tuple[ChosenChannel, ...]
    medium: Path
    state_dir: Path
    audit_dir: Path


def options(side: str, other: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of a side's `init`, which gets them as its first argument, `Given`."""
    program = f"ferry-{side}"
    every = (
        click.option("--folder", type=_FOLDER, default=f"/etc/{program}", show_default=True),
        click.option("--name", help="This agent's name, as logs and audit show it."),
        click.option("--lane", help=f"The lane's name, the same on the {other}."),
        click.option(
            "--channel", "channels", multiple=True, metavar="NAME=PROFILE", help="Repeatable."
        ),
        click.option("--medium", help="The medium's folder, as this host sees it."),
        click.option("--state-dir", help="Where the agent's databases lie."),
        click.option("--audit-dir", help="Where the audit trail lies."),
        click.option(
            "--signed", type=_FOLDER, help="The folder that came back from ferry-keys ceremony."
        ),
        click.option(
            "--security-admin",
            metavar="FINGERPRINT",
            help="Of their key, as they read it out.",
        ),
        click.option("--yes", is_flag=True, help="Ask nothing: options, else defaults."),
    )

    def with_options(init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def run(**said: Any) -> None:
            own = {field.name: said.pop(field.name) for field in fields(Given)}
            init(Given(**own), **said)

        for option in reversed(every):
            run = option(run)
        return run

    return with_options


def answers(given: Given, side: str, agent: str) -> Answers:
    """What the options said, what is answered to the questions, and defaults. Raises Mistake."""
    asks = given.asks
    return Answers(
        ask_name(given.name, "Name of this agent", agent, asks=asks),
        ask_name(given.lane, "Name of the lane", "front-to-his", asks=asks),
        ask_channels(given.channels, asks=asks),
        ask_path(given.medium, "The medium's folder", "/srv/ferry-medium", asks=asks),
        ask_path(
            given.state_dir, "Folder of the agent's databases", f"/var/lib/ferry-{side}", asks=asks
        ),
        ask_path(
            given.audit_dir, "Folder of the audit trail", f"/var/log/ferry-{side}/audit", asks=asks
        ),
    )


def ask(given: str | None, question: str, default: str, *, asks: bool) -> str:
    """What was given by an option; otherwise the answer to the question, or its default."""
    if given is not None:
        return given
    return str(click.prompt(question, default=default)) if asks else default


def ask_name(given: str | None, question: str, default: str, *, asks: bool) -> str:
    """The same, for a name. Raises Mistake."""
    name = ask(given, question, default, asks=asks)
    if not is_name(name):
        raise Mistake(f"{name} is no name", "Use lower-case letters, digits and . _ -")
    return name


def ask_path(given: str | None, question: str, default: str, *, asks: bool) -> Path:
    """The same, for a path."""
    return Path(ask(given, question, default, asks=asks)).absolute()


def ask_channels(given: Iterable[str], *, asks: bool) -> tuple[ChosenChannel, ...]:
    """The channels, each written NAME=PROFILE, or as the profile's name alone. Raises Mistake."""
    texts = list(given)
    if not texts:
        if asks:
            width = max(map(len, profiles.names()))
            for profile in map(profiles.load, profiles.names()):
                click.echo(f"  {profile.name:{width}}  {profile.title}  {profile.title_zh}")
        question = "Channels, each as NAME=PROFILE, with blanks between"
        texts = ask(None, question, "registration=registration", asks=asks).split()
    chosen = tuple(map(parse_channel, texts))
    if len({one.name for one in chosen}) < len(chosen):
        raise Mistake("a channel stands twice", "Give each its own name")
    return chosen
