"""What both doctors look at in the same way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from ferry_format.reasons import FerryError
from ferry_runtime.configuration import ConfigurationError, ConfigurationProblem, Document
from ferry_runtime.doctor import host, scanner, verdicts, workers
from ferry_runtime.doctor.findings import Area, Finding, Side, fault, well
from ferry_runtime.doctor.looks import Look
from ferry_runtime.partial_configuration import valid_parts
from ferry_runtime.sections import ScannerSection

_Config = TypeVar("_Config")
_Policy = TypeVar("_Policy")
_Parts = TypeVar("_Parts")


def parts_of(kind: type[_Parts], model: type[Document], path: Path) -> _Parts:
    """What of a configuration can be used, in a dataclass whose fields are named as its tables."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type] # a dataclass
    return kind(**{name: part for name, part in valid_parts(model, path).items() if name in known})


def looks_at_host(
    here: Side, *, sandbox_required: bool, scanned_by: ScannerSection | None
) -> Iterator[Look]:
    """The clock, the validation workers, and the virus scanner where there is one."""
    yield Look(Area.CLOCK, here, "the clock", lambda: [verdicts.of_clock(host.clock(), here)])
    yield Look(
        Area.WORKERS,
        here,
        "the validation workers",
        lambda: workers.look(here, sandbox_required=sandbox_required),
    )
    if scanned_by is not None:
        yield Look(Area.SCANNER, here, "the virus scanner", lambda: scanner.look(scanned_by, here))


def look_at_configuration(
    here: Side,
    path: Path,
    load_config: Callable[[Path], _Config],
    load_policy: Callable[[_Config], _Policy],
    check: Callable[[_Config, _Policy], list[ConfigurationProblem]],
) -> Iterator[Finding]:
    """What `check` would say of both files."""
    try:
        config = load_config(path)
    except ConfigurationError as error:
        yield from verdicts.of_configuration(error.problems, here)
        return
    try:
        problems = check(config, load_policy(config))
    except ConfigurationError as error:
        problems = list(error.problems)
    except FerryError as error:
        yield verdicts.of_refused_policy(error, here)
        return
    told = list(verdicts.of_configuration(problems, here))
    yield from told or [well(Area.CONFIGURATION, f"{path} and its policy are good")]


def look_at_certificates(here: Side, paths: Iterable[Path]) -> Iterator[Finding]:
    """Until when each certificate is valid."""
    for path in dict.fromkeys(paths):
        try:
            validity = host.validity(path)
        except (OSError, ValueError):
            continue  # `check` says what is wrong with it
        yield verdicts.of_certificate(path, validity, datetime.now(UTC), here)


def look_at_state(here: Side, folder: Path, bytes_min: int) -> Iterator[Finding]:
    """The state folder: rights, owners, room."""
    if not folder.is_dir():
        yield fault(
            Area.STATE, f"{folder} is not there", here, f"Mount its disk, or make {folder}."
        )
        return
    user = host.owner(folder)
    if user is not None:
        closed = host.closed_to(user, folder, os.R_OK | os.W_OK | os.X_OK)
        yield from verdicts.of_closed(Area.STATE, folder, closed, user, "write to", here)
        files = [one for one in folder.iterdir() if one.is_file()]
        strangers = [one.name for one in files if one.stat().st_uid != user.uid]
        yield from verdicts.of_owners(folder, strangers, user, here)
    yield verdicts.of_room(Area.STATE, folder, host.room(folder), bytes_min, here)


def no_medium(path: Path) -> Finding:
    """The medium's folder does not exist."""
    return fault(
        Area.MEDIUM,
        f"{path} is not there",
        Side.MEDIUM,
        f"Make the folder and mount the medium at {path}.",
    )
