"""Hold a run against stored bounds: `python -m bench.bounds RESULTS`; exit 1 if one is passed.

The bounds are ratios to floors of the same run, and wide, so that a slow or busy machine passes and
a change that costs a half does not. What has no floor of its own is held against one durable file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

LATENCY_RATIO_MAX: Final = 8.0
ACKNOWLEDGEMENT_RATIO_MAX: Final = 8.0
OBJECT_RATIO_MIN: Final = 0.1
FILES_A_MESSAGE_MAX: Final = 2.5
"""At saturation on disk: the time of one message, in durable files of its own."""
CPU_US_MAX: Final = 3000.0
IDLE_MB_MAX: Final = 150.0


def passed(results: Mapping[str, Any]) -> Iterator[str]:
    """A line for each bound that is passed."""
    yield from _above("latency.disk", results["latency.disk"]["ratio"], LATENCY_RATIO_MAX)
    yield from _above("ack.disk", results["ack.disk"]["ratio"], ACKNOWLEDGEMENT_RATIO_MAX)
    one_file_ms = results["floor.disk"]["file"]["p50_ms"]
    for name in ("saturation.mllp.disk", "saturation.folder.disk"):
        files = 1000 / results[name]["per_s"] / one_file_ms
        yield from _above(f"{name}, durable files a message", files, FILES_A_MESSAGE_MAX)
    ratio = results["object.100MB"]["ratio"]
    if ratio < OBJECT_RATIO_MIN:
        yield f"object.100MB: {ratio} of its floor; at least {OBJECT_RATIO_MIN} is wanted"
    yield from _above("cpu.stages.disk, total", results["cpu.stages"]["total_us"], CPU_US_MAX)
    for stage, megabytes in results["memory.flat"]["samples"][0].items():
        if stage.endswith("_MB"):
            yield from _above(f"memory, {stage}", megabytes, IDLE_MB_MAX)


def _above(what: str, figure: float, most: float) -> Iterator[str]:
    if figure > most:
        yield f"{what}: {figure:.2f}; at most {most} is wanted"


def main() -> None:
    """Print what is passed."""
    lines = list(passed(json.loads(Path(sys.argv[1]).read_text())["results"]))
    print("\n".join(lines) if lines else "within all bounds")
    sys.exit(bool(lines))


if __name__ == "__main__":
    main()
