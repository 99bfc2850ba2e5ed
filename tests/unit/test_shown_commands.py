"""Every command that a page shows exists, with the options that it shows; so does every target."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ferry_format.inspect import command as ferry_inspect
from ferry_runtime.commands.audit import cli as ferry_audit
from ferry_runtime.commands.keys import cli as ferry_keys
from ferry_runtime.commands.profiles import cli as ferry_profiles
from inner_agent.__main__ import cli as ferry_inner
from outer_agent.__main__ import cli as ferry_outer
from tests.unit.markdown_pages import PAGES, ROOT, blocks, inline_codes, name, prose, read

OPERATORS_PAGES = (ROOT / "docs/operating.md", ROOT / "docs/runbooks.md")
PROGRAMS: dict[str, click.Command] = {
    "ferry-outer": ferry_outer,
    "ferry-inner": ferry_inner,
    "ferry-keys": ferry_keys,
    "ferry-audit": ferry_audit,
    "ferry-inspect": ferry_inspect,
    "ferry-profiles": ferry_profiles,
}
PREFIX = re.compile(r"^(sudo )?(env [A-Z_]+=\S+ )?")
LISTED = re.compile(r"`(ferry-\w+)`\s*[(\uff08]([a-z,\s\u3001-]+)[)\uff09]")


def shown_commands(*pages: Path) -> list[str]:
    """Commands of the shell blocks, and those written in a line of text with a sub-command."""
    found = set()
    for page in pages:
        text = read(page)
        shell = [line for block in blocks(text, "sh") for line in block.text.splitlines()]
        for line in (*shell, *inline_codes(text)):
            command = PREFIX.sub("", line.split(" # ")[0].strip())
            program, _, rest = command.partition(" ")
            if program in PROGRAMS and rest:
                found.add(command)
    return sorted(found)


def parse(words: list[str]) -> None:
    """Raise UsageError if click would; runs nothing."""
    command, rest = PROGRAMS[words[0]], words[1:]
    context = click.Context(command, info_name=words[0])
    while isinstance(command, click.Group):
        given = command.make_context(context.info_name, list(rest), resilient_parsing=False)
        remaining = [*given._protected_args, *given.args]
        if not remaining:
            return
        sub_command, found, rest = command.resolve_command(given, remaining)
        assert found is not None
        command, context = found, click.Context(found, info_name=sub_command, parent=given)
    parser = command.make_parser(context)
    options, arguments, _ = parser.parse_args(list(rest))
    for parameter in command.params:
        if parameter.required and not options.get(parameter.name or ""):
            raise click.UsageError(f"{parameter.name} is missing")
    assert not arguments


def parse_mentioned(words: list[str]) -> None:
    """As `parse`, but a command that is only named need not be whole."""
    try:
        parse(words)
    except click.UsageError as error:
        if not error.message.endswith((" is missing", " requires an argument.")):
            raise


@pytest.mark.parametrize("line", shown_commands(*OPERATORS_PAGES))
def test_a_shown_command_exists_and_is_whole(line: str) -> None:
    parse(shlex.split(line))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_a_page_names_exist(page: Path) -> None:
    for line in shown_commands(page):
        parse_mentioned(shlex.split(line))


@pytest.mark.parametrize(
    "line",
    [
        "ferry-inner deliver",
        "ferry-inner gaps --mend",
        "ferry-inner discard 00",
        "ferry-keys rotate",
        "ferry-inspect --payload FILE",
    ],
)
def test_a_command_that_does_not_exist_would_be_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(shlex.split(line))


def test_the_pages_show_every_command_of_an_operator() -> None:
    shown = {tuple(line.split(" ")[:2]) for line in shown_commands(*OPERATORS_PAGES)}
    for program, command in PROGRAMS.items():
        if isinstance(command, click.Group):
            for sub_command in set(command.commands) - {"run"}:
                assert (program, sub_command) in shown


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_list_of_commands_is_whole(page: str) -> None:
    listed = {
        program: set(re.findall(r"[a-z-]+", names))
        for program, names in LISTED.findall(read(ROOT / page))
    }
    assert {"ferry-outer", "ferry-inner"} <= set(listed)
    for program, names in listed.items():
        command = PROGRAMS[program]
        assert isinstance(command, click.Group)
        assert names == set(command.commands), program


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    text = read(page)
    shell = [line for block in blocks(text, "sh") for line in block.text.splitlines()]
    named = {
        found[1]
        for line in (*shell, *inline_codes(prose(text)))
        if (found := re.match(r"\s*make ([a-z-]+)", line))
    }
    assert named <= targets
