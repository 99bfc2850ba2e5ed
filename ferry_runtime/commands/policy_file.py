"""A policy's file as the commands change it: read as text, replaced whole, its signature void."""

from __future__ import annotations

from pathlib import Path

from ferry_runtime.commands.failure import fail
from ferry_runtime.configuration import DOCUMENT_BYTES_MAX
from ferry_runtime.problem_words import Mistake
from ferry_runtime.regular_file import read_regular
from ferry_runtime.whole_file import replace_file


def read_policy(file: Path) -> str:
    """The policy's text. Ends the command if it cannot be read; raises Mistake if it is no text."""
    try:
        return read_regular(file, DOCUMENT_BYTES_MAX).decode("utf-8")
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        raise Mistake(f"{file} is not UTF-8 text", "Save it as UTF-8") from None


def replace_policy(file: Path, text: str) -> None:
    """Put the changed text in its place, with the same mode."""
    replace_file(file, text.encode("utf-8"), file.stat().st_mode & 0o777)
