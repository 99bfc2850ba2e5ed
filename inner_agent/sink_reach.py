"""Whether a sink can be reached, as its last attempt or probe told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ferry_runtime import logs

if TYPE_CHECKING:
    from ferry_format.reasons import Reason
    from inner_agent.replayer_metrics import ReplayerMetrics

_log = logging.getLogger("ferry.inner.replayer")


class SinkReach:
    """One sink's metric, and a line in the log at each change, not at each attempt."""

    def __init__(self, sink: str, metrics: ReplayerMetrics) -> None:
        self._sink = sink
        self._gauge = metrics.sink_up.labels(sink)
        self._down = False

    def up(self) -> None:
        """It took a message, refused it, or let us connect."""
        self._gauge.set(1)
        if self._down:
            self._down = False
            logs.event(_log, "sink_up_again", level=logging.WARNING, sink=self._sink)

    def down(self, reason: Reason, detail: str = "") -> None:
        """It does not answer; `detail` is a protocol's code."""
        self._gauge.set(0)
        if not self._down:
            self._down = True
            logs.event(
                _log,
                "sink_down",
                level=logging.WARNING,
                sink=self._sink,
                reason=reason.code,
                detail=detail,
                action=reason.action,
            )
