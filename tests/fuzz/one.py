"""The process that fuzzes one harness: `python -m tests.fuzz.one NAME FOLDER LIBFUZZER-OPTION...`.

Started by `run`. A broken promise is written into FOLDER/findings, once for each place in the
code and each thing said of it, and fuzzing goes on; what ends the process libFuzzer writes there.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import atheris
import pytest

_WATCHED: Final = ["validators", "ferry_format", "ferry_runtime", "outer_agent"]


def main() -> None:
    name, folder, options = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    with atheris.instrument_imports(include=_WATCHED):
        from tests.fuzz import harness as made

        harness: made.Harness = importlib.import_module(f"tests.fuzz.{name}").HARNESS
    inputs = [*harness.seeds(), *made.regressions(name)]
    try:
        inputs += made.corpus(harness.folders)
    except pytest.skip.Exception as absent:
        print(absent)
    for sub in ("seeds", "corpus", "findings"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / "seeds" / hashlib.sha256(data).hexdigest()[:20]).write_bytes(data)
    (folder / "words").write_text("".join(map(_dictionary_line, harness.words)))
    atheris.Setup(
        [
            name,
            f"-dict={folder / 'words'}",
            f"-artifact_prefix={folder / 'findings'}/",
            f"-max_len={made.BYTES_MAX}",
            *options,
            str(folder / "corpus"),
            str(folder / "seeds"),
        ],
        _noting(harness.check, folder / "findings"),
    )
    atheris.Fuzz()


def _dictionary_line(word: bytes) -> str:
    escaped = "".join(f"\\x{byte:02x}" for byte in word)
    return f'"{escaped}"\n'


def _noting(check: Callable[[bytes], None], folder: Path) -> Callable[[bytes], None]:
    def check_one(data: bytes) -> None:
        try:
            check(data)
        except Exception as error:  # noqa: BLE001 - whatever comes out is a finding
            place = traceback.extract_tb(error.__traceback__)[-1]
            known = f"{error!r}:{place.filename}:{place.lineno}"
            path = folder / f"broken-{hashlib.sha256(known.encode()).hexdigest()[:16]}"
            if not path.exists():
                path.write_bytes(data)
                path.with_suffix(".txt").write_text(traceback.format_exc(), encoding="utf-8")

    return check_one


if __name__ == "__main__":
    main()
