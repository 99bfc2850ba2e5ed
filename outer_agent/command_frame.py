"""What every `ferry-outer` command has in common: how it gets its two files."""

from __future__ import annotations

from pathlib import Path

import click

from ferry_runtime.commands.configured import load_checked
from outer_agent.checks import check_outer
from outer_agent.config import OuterConfig, load_config
from outer_agent.policy import OuterPolicy, load_policy

CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default="/etc/ferry-outer/outer.toml",
    show_default=True,
    help="The system administrator's file.",
)


def load(config_path: Path) -> tuple[OuterConfig, OuterPolicy]:
    """Both files, checked; otherwise the command ends and says why."""
    return load_checked(
        config_path,
        load_config,
        lambda config: load_policy(config.policy.file, config.policy.security_admin),
        check_outer,
    )
