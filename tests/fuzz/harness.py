"""What a harness is, and the promises that every validator's verdict is held against."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.simulator import corpora
from tests.simulator.processor_time import processor_time_below
from validators.policy import ContentPolicy
from validators.registry import build
from validators.verdict import Accepted, Rejected, Validator
from validators.worker import wire

BYTES_MAX: Final = 64 * 1024
CPU_S_MAX: Final = 2.0
"""For an input of at most BYTES_MAX, with every line of ours watched."""
MARK: Final = "QX7MARK"
"""Stands where the seeds hold a patient's data: no place of a refusal may name it."""
REGRESSIONS: Final = Path(__file__).with_name("regressions")


@dataclass(frozen=True)
class Harness:
    """One parser: `check` raises where an input breaks one of its promises.

    `folders` are those of the corpora with seeds of its kind; `words` are put into inputs whole.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    folders: Sequence[str] = ()
    words: Sequence[bytes] = ()


def regressions(name: str) -> Iterator[bytes]:
    """Inputs that once broke a promise of the harness `name`."""
    for path in sorted((REGRESSIONS / name).glob("*")):
        yield path.read_bytes()


def corpus(folders: Sequence[str]) -> Iterator[bytes]:
    """The corpora's files below `folders` that are no longer than BYTES_MAX."""
    for folder in folders:
        where, _, below = folder.partition("/")
        for sample in corpora.samples(where):
            if sample.name.startswith(below) and sample.path.stat().st_size <= BYTES_MAX:
                yield sample.read()


def validators(*policies: dict[str, Any], schemas: dict[str, bytes] | None = None) -> list[Any]:
    """A validator for each content policy."""
    return [build(ContentPolicy.model_validate(policy), schemas or {}) for policy in policies]


def hold(validator: Validator, data: bytes) -> None:
    """Judge `data`: in time, with a verdict that the worker's pipe takes, and a fixed point."""
    with processor_time_below(CPU_S_MAX):
        verdict = validator.validate(data)
    assert wire.unpack_verdicts(wire.pack_verdicts([verdict])[wire.LENGTH.size :], 1) == [verdict]
    if isinstance(verdict, Rejected):
        assert MARK not in verdict.place, "a place holds data"
        return
    assert isinstance(verdict, Accepted)
    assert verdict.message_type.isprintable()
    again = validator.validate(verdict.payload)
    assert again == verdict, f"no fixed point: {getattr(again, 'reason', 'other bytes')}"
