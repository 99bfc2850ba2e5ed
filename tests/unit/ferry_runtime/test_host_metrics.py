"""What runs out is measured: certificates as they were at the start, disks at each scrape."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme
from prometheus_client import CollectorRegistry

from ferry_runtime.host_metrics import CertificateFile, HostMetrics, WorkersEnded


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_a_certificate_s_end_is_told_and_an_unreadable_one_is_left_out(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    until = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    ca = trustme.CA()
    certificate = ca.issue_cert("his.example", not_after=until)
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    certificate.cert_chain_pems[0].write_to_path(good)
    bad.write_text("no certificate")
    HostMetrics(registry, "ferry_test").read_certificates(
        [
            CertificateFile("his", "tls_certificate", good),
            CertificateFile("pacs", "tls_ca", bad),
            CertificateFile("lis", "tls_ca", tmp_path / "none.pem"),
        ]
    )
    name = "ferry_test_certificate_expiry_timestamp_seconds"
    [family] = [one for one in registry.collect() if one.name == name]
    told = {one.labels["used_by"]: one.value for one in family.samples}
    assert told == {"his": until.timestamp()}


def test_a_disk_s_room_is_measured_and_a_folder_that_went_is_no_number(
    registry: CollectorRegistry, tmp_path: Path
) -> None:
    HostMetrics(registry, "ferry_test").watch_folders(
        {"agent.state_dir": tmp_path, "audit.dir": tmp_path / "gone"}
    )
    room = os.statvfs(tmp_path)

    def sample(name: str, folder: str) -> float:
        value = registry.get_sample_value(name, {"folder": folder})
        assert value is not None
        return value

    assert sample("ferry_test_disk_bytes", "agent.state_dir") == room.f_blocks * room.f_frsize
    free = sample("ferry_test_disk_free_bytes", "agent.state_dir")
    assert 0 < free <= room.f_blocks * room.f_frsize
    gone = sample("ferry_test_disk_free_bytes", "audit.dir")
    assert gone != gone  # noqa: PLR0124 - not a number


def test_ended_workers_are_counted_as_the_pool_counts_them(registry: CollectorRegistry) -> None:
    ended = [3]
    registry.register(WorkersEnded("ferry_test", lambda: ended[0]))
    assert registry.get_sample_value("ferry_test_workers_ended_total") == 3
    ended[0] = 4
    assert registry.get_sample_value("ferry_test_workers_ended_total") == 4
