"""Bounds on processor time that hold on a slow machine too.

A bound is chosen on a quiet two-core machine. Others are slower, and so is the same one in another
hour, or beside a neighbour that takes its caches: how much is measured where a bound is passed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_REFERENCE_S: Final = 0.04
"""What `_reference_s` gives on the machine that bounds are chosen on."""
_TRIES: Final = 9


@contextmanager
def processor_time_below(seconds_max: float) -> Iterator[None]:
    """Fail where this process computes longer in the block, told for the quiet machine."""
    started_s = time.process_time()
    yield
    took_s = time.process_time() - started_s
    if took_s >= seconds_max:
        slower = max(1.0, _reference_s() / _REFERENCE_S)
        assert took_s < seconds_max * slower, f"more than {seconds_max:g} s of processor time"


def _reference_s() -> float:
    """Processor time of a fixed piece of work that, as validators do, makes many small objects.

    The slowest of several: what was judged may have met the machine's worst moment.
    """
    text = "[" + ",".join(['{"a":[1,"b"]}'] * 30_000) + "]"
    times_s = []
    for _ in range(_TRIES):
        started_s = time.process_time()
        made = json.loads(text)
        assert sum(len(one["a"]) for one in made) == 60_000
        times_s.append(time.process_time() - started_s)
    return max(times_s)
