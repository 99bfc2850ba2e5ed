"""`ferry-profiles try`: messages judged as a policy's channel would, before it is signed.

For whoever widens a channel by what real messages hold: files in, reasons and places out, and what
was refused most often. In a validation worker, as the agents do it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click
from pydantic import ValidationError

from ferry_runtime.commands import policy_text
from ferry_runtime.commands.failure import EXIT_CODES, REFUSED
from ferry_runtime.commands.policy_file import read_policy
from ferry_runtime.policy import read_schemas
from ferry_runtime.problem_words import Mistake, shown_key, translate
from ferry_runtime.regular_file import read_regular
from validators.json_schema import SchemaError
from validators.policy import PAYLOAD_BYTES_MAX, ContentPolicy
from validators.registry import ContentSpec, build
from validators.verdict import Accepted, Rejected
from validators.worker import WorkerPool

_NUMBERS: Final = re.compile(r" \([a-z]+ [0-9]+\)|\[[0-9]+\]")
"""Which segment, row or item: the same mistake at another place is the same mistake."""


@click.command("try", epilog=EXIT_CODES)
@click.argument(
    "messages",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
)
@click.option(
    "--policy",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The policy.toml with the channel, the outer's or the inner's; it need not be signed.",
)
@click.option("--channel", required=True, help="Name of the channel.")
def try_messages(messages: Sequence[Path], file: Path, channel: str) -> None:
    """Judge files with one message each as a channel would: which pass, and what stops others.

    Nothing is sent or kept, and no message is shown. Ends with exit code 1 if one is refused.
    """
    refusals: Counter[str] = Counter()
    with WorkerPool({channel: _specification(file, channel)}) as pool:
        for path in messages:
            payload = read_regular(path, PAYLOAD_BYTES_MAX)
            (verdict,) = pool.validate_many([(channel, payload)])
            if isinstance(verdict, Accepted):
                click.echo(f"{path}: accepted, {verdict.message_type}")
            else:
                click.echo(f"{path}: {_told(verdict)}")
                refusals[_NUMBERS.sub("", _told(verdict))] += 1
    click.echo(f"accepted: {len(messages) - refusals.total()} of {len(messages)}")
    for refusal, count in refusals.most_common():
        click.echo(f"{count} times {refusal}")
    if refusals:
        raise click.exceptions.Exit(REFUSED)


def _specification(file: Path, channel: str) -> ContentSpec:
    table = policy_text.channel_content(read_policy(file), channel)
    try:
        content = ContentPolicy.model_validate(table)
    except ValidationError as error:
        found = translate(ContentPolicy, table, error)[0]
        key = shown_key(("content", *found.path), {"content": table})
        raise Mistake(f"{key} of channel {channel} {found.problem}", found.action) from None
    if content.object_ is not None or content.dicom is not None:
        raise Mistake("the channel takes objects, in parts", "Name a channel that takes messages")
    schemas = read_schemas(file.parent, content.schema_files())
    try:
        build(content, schemas)
    except SchemaError as error:
        raise Mistake(str(error), "See ferry-outer check") from None
    return ContentSpec(content, schemas)


def _told(verdict: Rejected) -> str:
    return f"{verdict.reason.code}, {verdict.place}" if verdict.place else verdict.reason.code
