"""The shared corpora: data that stays outside the repository, found by path or FERRY_CORPORA."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

_BESIDE_THE_PROJECT = Path(__file__).resolve().parents[3] / "shared" / "corpora"


@dataclass(frozen=True, slots=True)
class Sample:
    """One file of a corpus: its name in the index, its kind, its path."""

    name: str
    kind: str
    path: Path

    def read(self) -> bytes:
        return self.path.read_bytes()


def samples(folder: str) -> list[Sample]:
    """Return a corpus folder's samples; skip the calling test with a clear word if it is absent."""
    root = Path(os.environ.get("FERRY_CORPORA", _BESIDE_THE_PROJECT)) / folder
    index = root / "INDEX.tsv"
    if not index.is_file():
        pytest.skip(f"no corpora at {root} (set FERRY_CORPORA)")
    with index.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [Sample(row["file"], row["kind"], root / row["file"]) for row in rows]
