"""`ferry-outer init` and `test`: the first set-up of a sending side, and a test of its lane."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ferry_format.keys import KeyFile, KeyKind
from ferry_format.medium.reader import MediumReader
from ferry_runtime import secrets
from ferry_runtime.commands import first_answers, first_setup
from ferry_runtime.commands.configured import EXIT_CODES, load_alone
from ferry_runtime.commands.failure import fail
from ferry_runtime.commands.first_answers import Answers, Given
from outer_agent import service
from outer_agent.command_frame import CONFIG
from outer_agent.config import load_config
from outer_agent.first_files import outer_policy, outer_toml
from outer_agent.policy import load_policy
from outer_agent.spool import Spool

_LOOK_S = 0.2


@click.command(epilog=EXIT_CODES)
@first_answers.options("outer", "inner")
def init(given: Given) -> None:
    """Set a sending side up, step by step; run it again to go on.

    Makes keys, outer.toml and a draft of the policy with channels from ready profiles
    (ferry-profiles list), and, when the policy came back signed, takes it. Asks for what no option
    says. Writes nothing over. Signs nothing: that is the security administrator's.
    """
    folder = given.folder
    if not (folder / "outer.toml").exists():
        _make(folder, first_answers.answers(given, "outer", "front-1"))
    sender = secrets.read_key(folder / "keys" / "sender.key", KeyKind.SIGN)
    first_setup.take_signed(given, load_policy)
    _tell_next(folder, sender)


def _make(folder: Path, answers: Answers) -> None:
    keys = folder / "keys"
    first_setup.make_folder(folder, 0o755)
    sender = first_setup.make_key(keys, "sender", KeyKind.SIGN, answers.name)
    audit = first_setup.make_key(keys, "audit", KeyKind.AUDIT, answers.name)
    first_setup.hand_over(
        folder / first_setup.HANDOVER,
        answers.channels,
        outer_policy(answers),
        {"sender": sender, "audit": audit},
    )
    first_setup.make_state(answers, "ferry-outer")
    # Last: once it is there, all of it is.
    first_setup.place(folder / "outer.toml", outer_toml(answers))


def _tell_next(folder: Path, sender: KeyFile) -> None:
    if not (folder / first_setup.POLICY).exists():
        first_setup.tell_key("The outer's key (sender.pub)", sender)
        first_setup.tell_way_to_signing(folder / first_setup.HANDOVER, "ferry-outer")
        return
    first_setup.tell_next(
        [
            f"Here: ferry-outer check --config {folder / 'outer.toml'}, and mend what it names.",
            "Here: start the agent: systemctl enable --now ferry-outer. Then: ferry-outer test",
        ]
    )


@click.command("test", epilog=EXIT_CODES)
@CONFIG
@click.option("--wait-s", type=click.FloatRange(0, 600), default=30.0, show_default=True)
def lane_test(config_path: Path, wait_s: float) -> None:
    """Wait for the agent's next ferry file, and say what to ask the inner for.

    Idle, it is a heartbeat: signed and sealed as messages are, with none in it, so that no internal
    system hears of it. The agent must run.
    """
    config = load_alone(config_path, load_config)
    path = service.spool_path(config.agent.state_dir)
    medium = MediumReader(config.medium.path, None)
    before: int | None = None
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        if path.exists():
            stream_id, last = _head(path)
            if before is not None and last > before and medium.read(stream_id, last) is not None:
                click.echo(f"file {last} of stream {stream_id.hex()} is on the medium")
                click.echo(f"On the inner: ferry-inner test {stream_id.hex()[:8]}-{last}")
                return
            before = last if before is None else before
        time.sleep(_LOOK_S)
    fail(f"no new file in {wait_s:g} s", "Start the agent; ferry-outer doctor says what is wrong")


def _head(path: Path) -> tuple[bytes, int]:
    spool = Spool.open_read_only(path)
    try:
        head = spool.head()
    finally:
        spool.close()
    return head.stream_id, head.last_sequence
