"""Why a service ends stands in its log, and a defect shows nothing of what it was about."""

from __future__ import annotations

import logging

import click
import pytest

from ferry_format.reasons import STORAGE_FAILED, StorageFault
from ferry_runtime.commands.failure import told_in_log

LOGGER = logging.getLogger("ferry.outer")


@pytest.mark.parametrize(
    ("error", "ends_with", "told"),
    [
        (StorageFault(STORAGE_FAILED, "spool.db"), StorageFault, "cannot_run"),
        (OSError(98, "Address already in use"), OSError, "cannot_run"),
        (KeyError("ZHANG^SAN"), click.ClickException, "crashed"),
    ],
)
def test_an_end_is_told_in_the_log(
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    ends_with: type[Exception],
    told: str,
) -> None:
    with pytest.raises(ends_with) as raised, told_in_log(LOGGER):
        raise error
    assert [record.getMessage() for record in caplog.records] == [told]
    assert "ZHANG" not in str(raised.value)
