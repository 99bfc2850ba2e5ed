"""Every command that the operators' pages show exists, with the options that they show."""

import re
import shlex
from pathlib import Path

import click
import pytest

from ferry_runtime.commands.audit import cli as ferry_audit
from ferry_runtime.commands.keys import cli as ferry_keys
from ferry_runtime.commands.profiles import cli as ferry_profiles
from inner_agent.__main__ import cli as ferry_inner
from outer_agent.__main__ import cli as ferry_outer

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("operating.md", "runbooks.md")
PROGRAMS: dict[str, click.Command] = {
    "ferry-outer": ferry_outer,
    "ferry-inner": ferry_inner,
    "ferry-keys": ferry_keys,
    "ferry-audit": ferry_audit,
    "ferry-profiles": ferry_profiles,
}
PREFIX = re.compile(r"^(sudo )?(env [A-Z_]+=\S+ )?")


def shown_commands() -> list[str]:
    """Commands of the shell blocks, and those written in a line of text with a sub-command."""
    text = "\n".join((DOCS / name).read_text() for name in PAGES)
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    lines = [PREFIX.sub("", line.strip()) for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`(ferry-(?:outer|inner|keys|audit|profiles) [^`]+)`", text)
    return sorted({line for line in [*lines, *inline] if line.split(" ")[0] in PROGRAMS})


def parse(words: list[str]) -> None:
    """Raise UsageError if click would; runs nothing."""
    command, rest = PROGRAMS[words[0]], words[1:]
    context = click.Context(command, info_name=words[0])
    while isinstance(command, click.Group):
        given = command.make_context(context.info_name, list(rest), resilient_parsing=False)
        remaining = [*given._protected_args, *given.args]
        if not remaining:
            return
        name, found, rest = command.resolve_command(given, remaining)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=given)
    parser = command.make_parser(context)
    options, arguments, _ = parser.parse_args(list(rest))
    for parameter in command.params:
        if parameter.required and not options.get(parameter.name or ""):
            raise click.UsageError(f"{parameter.name} is missing")
    assert not arguments


@pytest.mark.parametrize("line", shown_commands())
def test_a_shown_command_exists(line):
    parse(shlex.split(line))


@pytest.mark.parametrize(
    "line",
    [
        "ferry-inner deliver",
        "ferry-inner gaps --mend",
        "ferry-inner discard 00",
        "ferry-keys rotate",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line):
    with pytest.raises(click.UsageError):
        parse(shlex.split(line))


def test_the_pages_show_every_command_of_an_operator():
    shown = {tuple(line.split(" ")[:2]) for line in shown_commands()}
    for program, command in PROGRAMS.items():
        assert isinstance(command, click.Group)
        for name in set(command.commands) - {"run"}:
            assert (program, name) in shown
