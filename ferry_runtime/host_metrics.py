"""Metrics of what runs out while nobody looks: certificates, room on disks, validation workers.

The same on both sides but for the prefix. Certificates are read once, when the agent starts, since
it also speaks TLS with what it read then.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from ferry_runtime.doctor.host import validity


@dataclass(frozen=True, slots=True)
class CertificateFile:
    """A PEM file of the configuration: `used_by` names the source or sink, `setting` the key."""

    used_by: str
    setting: str
    path: Path


class HostMetrics:
    """Room on the disks of `folders` (configuration key to path), and when certificates end."""

    def __init__(self, registry: CollectorRegistry, prefix: str) -> None:
        self.certificate_expiry = Gauge(
            f"{prefix}_certificate_expiry_timestamp_seconds",
            "Unix time at which the first certificate in a configured file runs out, as it was "
            "when the agent started.",
            ("used_by", "setting"),
            registry=registry,
        )
        self.disk_free_bytes = Gauge(
            f"{prefix}_disk_free_bytes",
            "Bytes free on the disk of a configured folder.",
            ("folder",),
            registry=registry,
        )
        self.disk_bytes = Gauge(
            f"{prefix}_disk_bytes",
            "Size of the disk of a configured folder.",
            ("folder",),
            registry=registry,
        )

    def watch_folders(self, folders: Mapping[str, Path]) -> None:
        """Measure the disks of these folders at each scrape."""
        for name, path in folders.items():
            self.disk_free_bytes.labels(name).set_function(partial(_free_bytes, path))
            self.disk_bytes.labels(name).set_function(partial(_bytes, path))

    def read_certificates(self, files: Iterable[CertificateFile]) -> None:
        """Note when these run out; what cannot be read keeps the agent from starting elsewhere."""
        for one in files:
            try:
                until = validity(one.path).not_after
            except (OSError, ValueError):
                continue
            self.certificate_expiry.labels(one.used_by, one.setting).set(until.timestamp())


class WorkersEnded(Collector):
    """Counts validation workers that ended without being told to; asks the pool at each scrape."""

    def __init__(self, prefix: str, ended: Callable[[], int]) -> None:
        self._prefix = prefix
        self._ended = ended

    def describe(self) -> Iterator[CounterMetricFamily]:
        """The metric without its value."""
        yield self._family(None)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The metric."""
        yield self._family(self._ended())

    def _family(self, value: int | None) -> CounterMetricFamily:
        return CounterMetricFamily(
            f"{self._prefix}_workers_ended",
            "Validation workers that ended, or were ended past a deadline, and were replaced.",
            value=value,
        )


def watch_process(registry: CollectorRegistry, prefix: str) -> None:
    """Memory, processor time and open files of this process, as every Prometheus client tells."""
    ProcessCollector(namespace=prefix, registry=registry)


def _free_bytes(path: Path) -> float:
    try:
        room = os.statvfs(path)
    except OSError:
        return math.nan
    return float(room.f_bavail * room.f_frsize)


def _bytes(path: Path) -> float:
    try:
        room = os.statvfs(path)
    except OSError:
        return math.nan
    return float(room.f_blocks * room.f_frsize)
