"""What the statuses of C-STORE mean (PS3.4, B.2.3; PS3.7, annex C)."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from inner_agent.sinks.base import Delivered, Failed
from inner_agent.sinks.dicom import judge


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007])
def test_success_and_warnings_are_deliveries(status: int) -> None:
    assert judge(status) == Delivered()


@pytest.mark.parametrize(
    ("status", "reason", "permanent"),
    [
        (0xA700, reasons.SINK_BUSY, False),
        (0xA7FF, reasons.SINK_BUSY, False),
        (0x0110, reasons.SINK_FAILED, False),
        (0xA900, reasons.SINK_REFUSED, True),
        (0xC123, reasons.SINK_REFUSED, True),
        (0x0122, reasons.SINK_REFUSED, True),
        (0x0124, reasons.SINK_REFUSED, True),
    ],
)
def test_failures_are_for_now_or_for_good(
    status: int, reason: reasons.Reason, permanent: object
) -> None:
    assert judge(status) == Failed(reason, permanent=bool(permanent), detail=f"status {status:04X}")
