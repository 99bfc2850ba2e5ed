"""Run the harnesses, one on each processor: `python -m tests.fuzz.run [NAME...] --seconds 1800`.

Each has a folder of its own below --folder: what it learnt (corpus), what it found (findings). The
exit status is 1 where anything was found.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import click

HARNESSES: Final = (
    "hl7v2",
    "hl7v2_batches",
    "json_messages",
    "fhir",
    "xml_messages",
    "csv_tables",
    "forms",
    "dicom",
    "deidentified",
    "embedded_files",
    "contents",
    "ferry_files",
    "medium_names",
    "worker_pipe",
    "mllp_frames",
    "scanner_replies",
)
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units: (\d+)")
_TRIES_MAX: Final = 100


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(HARNESSES))
@click.option("--seconds", default=1800, help="For each harness, wall-clock.")
@click.option("--executions", default=-1, help="For each harness at most; -1: no limit.")
@click.option("--at-once", default=len(os.sched_getaffinity(0)), show_default="processors")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("build/fuzz"))
def main(names: tuple[str, ...], seconds: int, executions: int, at_once: int, folder: Path) -> None:
    """Fuzz the harnesses NAMES, or all of them."""
    if importlib.util.find_spec("atheris") is None:
        click.echo("atheris is not there (Linux on x86_64, Python 3.11 to 3.13): nothing is fuzzed")
        return
    wanted = names or HARNESSES
    found = 0
    with ThreadPoolExecutor(at_once) as several:
        runs = several.map(lambda name: fuzz(name, seconds, executions, folder / name), wanted)
        for name, executed in zip(wanted, runs, strict=True):
            findings = list(Path(folder / name / "findings").glob("*-*"))
            new = [each for each in findings if each.suffix != ".txt"]
            found += len(new)
            click.echo(f"{name}: {executed} executions, {len(new)} findings")
            for each in new:
                click.echo(f"  {each}")
    sys.exit(found > 0)


def fuzz(name: str, seconds: int, executions: int, folder: Path) -> int:
    """Fuzz one harness, again where its process ends too soon; return how often it was called."""
    folder.mkdir(parents=True, exist_ok=True)
    end_s = time.monotonic() + seconds
    executed = 0
    for _ in range(_TRIES_MAX):
        left_s = int(end_s - time.monotonic())
        if left_s < 1:
            break
        status, output = _process(name, folder, left_s, executions)
        (folder / "log").write_text(output, encoding="utf-8")
        counted = _EXECUTED.search(output)
        executed += 0 if counted is None else int(counted[1])
        if status == 0:
            break
        if counted is None:
            raise click.ClickException(f"{name} does not start: see {folder / 'log'}")
    return executed


def _process(name: str, folder: Path, seconds: int, executions: int) -> tuple[int, str]:
    options = (
        f"-max_total_time={seconds}",
        f"-runs={executions}",
        "-timeout=120",
        "-report_slow_units=120",
        "-rss_limit_mb=1500",
        "-print_final_stats=1",
        "-verbosity=1",
    )
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.one", name, folder, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


if __name__ == "__main__":
    main()
