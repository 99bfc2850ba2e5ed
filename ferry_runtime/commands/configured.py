"""How an agent's command gets its two files: loaded, checked as a whole, or an exit that says why.

Exit code 78 (EX_CONFIG) is for what a restart would not mend; the systemd units do not restart on
it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import click

from ferry_format.reasons import BAD_KEY_FILE, KEY_FILE_EXPOSED, POLICY_NOT_SIGNED, FerryError
from ferry_runtime.configuration import ConfigurationError, ConfigurationProblem

EX_CONFIG: Final = 78
EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused or failed (stderr says why); 2 wrong usage; "
    "78 configuration, policy or key wrong."
)

_Config = TypeVar("_Config")
_Policy = TypeVar("_Policy")
_Loaded = TypeVar("_Loaded")


def load_checked(
    path: Path,
    load_config: Callable[[Path], _Config],
    load_policy: Callable[[_Config], _Policy],
    check: Callable[[_Config, _Policy], list[ConfigurationProblem]],
) -> tuple[_Config, _Policy]:
    """Both files; every problem is printed at once, and then the command ends with EX_CONFIG."""
    config = _or_exit(lambda: load_config(path))
    policy = _or_exit(lambda: load_policy(config))
    problems = _or_exit(lambda: check(config, policy))
    if problems:
        _fail(str(ConfigurationError(tuple(problems))))
    return config, policy


def load_alone(path: Path, load_config: Callable[[Path], _Config]) -> _Config:
    """The system administrator's file alone, for commands that need no policy and no key."""
    return _or_exit(lambda: load_config(path))


def _or_exit(load: Callable[[], _Loaded]) -> _Loaded:
    try:
        return load()
    except ConfigurationError as error:
        _fail(str(error))
    except FerryError as error:
        if error.reason in {BAD_KEY_FILE, KEY_FILE_EXPOSED, POLICY_NOT_SIGNED}:
            _fail(f"{error}. {error.reason.action}")
        raise


def _fail(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(EX_CONFIG)
