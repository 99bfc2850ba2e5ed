"""How a doctor's diagnosis becomes a command's output and exit code, on both sides."""

from __future__ import annotations

import os
import sys
from typing import Final, NoReturn

import click

from ferry_runtime.doctor import findings
from ferry_runtime.doctor.findings import Diagnosis

DOCTOR_EXIT_CODES: Final = "Exit codes: 0 well; 1 warnings or faults; 2 wrong usage."


def tell(diagnosis: Diagnosis, *, as_json: bool) -> NoReturn:
    """Print the diagnosis and end, at once: a look that hangs must not be waited for."""
    click.echo(findings.as_json(diagnosis) if as_json else findings.as_text(diagnosis))
    sys.stdout.flush()
    os._exit(0 if diagnosis.well else 1)
