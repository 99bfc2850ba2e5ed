"""`ferry-inner init` and `test`: the first set-up of a receiving side, and a test of its lane."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from ferry_format.keys import KeyFile, KeyKind
from ferry_runtime import secrets
from ferry_runtime.chosen_channel import ChosenChannel
from ferry_runtime.commands import first_answers, first_setup
from ferry_runtime.commands.configured import EXIT_CODES
from ferry_runtime.commands.failure import fail
from ferry_runtime.commands.first_answers import Answers, Given
from ferry_runtime.problem_words import Mistake
from inner_agent import lookup
from inner_agent.command_frame import CONFIG, load
from inner_agent.first_files import inner_policy, inner_toml, replayer_drop_in
from inner_agent.journal import GapRecord, StreamRecord
from inner_agent.policy import load_policy

_CODE: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,19})")
_LOOK_S: Final = 0.2
_DROP_IN: Final = "replayer-site.conf"
_DROP_IN_GOES_TO: Final = "/etc/systemd/system/ferry-inner-replayer.service.d/site.conf"
_UNITS: Final = "ferry-inner-verifier ferry-inner-replayer ferry-inner.target"


@click.command(epilog=EXIT_CODES)
@first_answers.options("inner", "outer")
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="NAME=WHERE",
    help="Where a channel's messages go: /FOLDER, mllp://HOST:PORT, https://HOST/PATH. Repeatable.",
)
def init(given: Given, sinks: tuple[str, ...]) -> None:
    """Set a receiving side up, step by step; run it again to go on.

    Makes keys, inner.toml and a draft of the policy with channels from ready profiles
    (ferry-profiles list), and, when the policy came back signed, takes it. Asks for what no option
    says. Writes nothing over. Signs nothing: that is the security administrator's.
    """
    folder = given.folder
    if not (folder / "inner.toml").exists():
        answers = first_answers.answers(given, "inner", "inner-1")
        _make(folder, answers, _sinks(sinks, answers.channels, asks=given.asks))
    receiver = secrets.read_key(folder / "keys" / "receiver.key", KeyKind.RECEIVE)
    first_setup.take_signed(given, load_policy)
    _tell_next(folder, receiver)


def _sinks(
    given: tuple[str, ...], channels: tuple[ChosenChannel, ...], *, asks: bool
) -> dict[str, str]:
    """Each channel's sink; a folder of its own where nobody says another."""
    said = dict(text.partition("=")[::2] for text in given)
    unknown = sorted(set(said) - {one.name for one in channels})
    if unknown:
        raise Mistake(f"--sink names {', '.join(unknown)}, no channel", "Write NAME=WHERE")
    return {
        one.name: first_answers.ask(
            said.get(one.name),
            f"Where messages of {one.name} go (/FOLDER, mllp://HOST:PORT, https://HOST/PATH)",
            f"/srv/ferry-out/{one.name}",
            asks=asks,
        )
        for one in channels
    }


def _make(folder: Path, answers: Answers, sinks: Mapping[str, str]) -> None:
    text = inner_toml(answers, sinks)
    keys = folder / "keys"
    first_setup.make_folder(folder, 0o755)
    receiver = first_setup.make_key(keys, "receiver", KeyKind.RECEIVE, answers.name)
    audit = first_setup.make_key(keys, "audit", KeyKind.AUDIT, answers.name)
    first_setup.make_key(keys, "journal", KeyKind.JOURNAL, answers.name)
    first_setup.hand_over(
        folder / first_setup.HANDOVER,
        answers.channels,
        inner_policy(answers),
        {"receiver": receiver, "audit": audit},
    )
    first_setup.make_state(answers, "ferry-inner")
    for where in sinks.values():
        if where.startswith("/"):
            first_setup.make_folder(Path(where), 0o750, "ferry-inner")
    drop_in = replayer_drop_in(sinks)
    if drop_in is not None:
        first_setup.place(folder / _DROP_IN, drop_in)
    # Last: once it is there, all of it is.
    first_setup.place(folder / "inner.toml", text)


def _tell_next(folder: Path, receiver: KeyFile) -> None:
    if not (folder / first_setup.POLICY).exists():
        first_setup.tell_key("The inner's key (receiver.pub)", receiver)
        first_setup.tell_way_to_signing(folder / first_setup.HANDOVER, "ferry-inner")
        return
    drop_in = folder / _DROP_IN
    steps = [
        f"Here: install -D -m 0644 {drop_in} {_DROP_IN_GOES_TO}",
        "Here: systemctl daemon-reload",
    ]
    first_setup.tell_next(
        [
            *(steps if drop_in.exists() else []),
            f"Here: ferry-inner check --config {folder / 'inner.toml'}, and mend what it names.",
            f"Here: start the agent: systemctl enable --now {_UNITS}",
            "On the outer: ferry-outer test; then here the command that it says.",
        ]
    )


@click.command("test", epilog=EXIT_CODES)
@CONFIG
@click.argument("code", required=False)
@click.option("--wait-s", type=click.FloatRange(0, 600), default=30.0, show_default=True)
def lane_test(config_path: Path, code: str | None, wait_s: float) -> None:
    """Wait until the file that CODE names has come (`ferry-outer test` says it), or the next one.

    Arrived is a file whose signature, seal and place in its stream were found good. It tells no
    internal system anything. The verifier must run.
    """
    config = load(config_path)[0]
    before: dict[bytes, int] | None = None
    deadline_s = time.monotonic() + wait_s
    while True:
        with lookup.open_journal(config) as journal:
            streams, gaps = journal.streams(), journal.gaps()
        before = before or {one.stream_id: one.next_sequence for one in streams}
        wanted = next_of(streams, before) if code is None else named(code, streams)
        for stream, sequence in wanted:
            if has_arrived(stream, sequence, gaps):
                click.echo(f"arrived: file {sequence} of stream {stream.stream_id.hex()}")
                click.echo(f"from {stream.sender}, whose key the policy trusts: the lane works")
                return
        if time.monotonic() > deadline_s:
            fail(f"it did not arrive in {wait_s:g} s", "ferry-inner doctor says what is wrong")
        time.sleep(_LOOK_S)


def named(code: str, streams: list[StreamRecord]) -> list[tuple[StreamRecord, int]]:
    """The file that a code names, if its stream was seen. Raises Mistake."""
    match = _CODE.fullmatch(code.lower())
    if match is None:
        raise Mistake(f"{code} is no code", "Write it as ferry-outer test does: 2ede2d20-17")
    found = [one for one in streams if one.stream_id.hex().startswith(match[1])]
    if any(one.state == "refused" for one in found):
        raise Mistake(
            "the stream waits to be accepted", "If the outer is new: ferry-inner streams accept"
        )
    return [(one, int(match[2])) for one in found]


def next_of(
    streams: list[StreamRecord], before: dict[bytes, int]
) -> list[tuple[StreamRecord, int]]:
    """The next file of each stream after those that had come before."""
    return [(one, before.get(one.stream_id, 1)) for one in streams if one.state == "trusted"]


def has_arrived(stream: StreamRecord, sequence: int, gaps: list[GapRecord]) -> bool:
    """Whether a file of a stream was taken."""
    is_missing = any(
        gap.stream_id == stream.stream_id and gap.first_sequence <= sequence <= gap.last_sequence
        for gap in gaps
    )
    return sequence < stream.next_sequence and not is_missing
