"""The report on a sample: what would change, and nothing of the data."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from ferry_format.keys import KeyKind, generate, private_text
from outer_agent.__main__ import cli
from tests.simulator.configured_site import NOW, Host, outer_host
from tests.simulator.dicom_files import ct

JSON_CHANNEL = "[channels.content.json]"
POLICY = """[channels.deidentification]
key = "study"
leftovers = "blank"
[[channels.deidentification.places]]
at = "/**"
holds = "text"
"""
VALUE = "13800138000"


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = outer_host(tmp_path / "outer")
    key = host.config.parent / "study.key"
    key.touch(mode=0o600)
    key.write_text(private_text(generate(KeyKind.DEIDENTIFICATION, "study", NOW)))
    host.config.write_text(f'{host.config.read_text()}\n[deidentification]\nkeys = ["{key}"]\n')
    host.policy.write_text(host.policy.read_text().replace(JSON_CHANNEL, POLICY + JSON_CHANNEL))
    host.sign()
    return host


def reported(host: Host, channel: str, sample: str) -> tuple[int, str]:
    file = host.config.parent / "sample"
    file.write_text(sample)
    arguments = ["deidentify-report", "--config", str(host.config), "--channel", channel, str(file)]
    result = CliRunner().invoke(cli, arguments)
    return result.exit_code, result.output + str(result.exception or "")


def test_it_says_where_and_how_and_never_what(host: Host) -> None:
    code, said = reported(host, "orders", f'{{"phone": "{VALUE}", "note": "fine"}}')
    assert code == 0
    assert "/**    text  blank" in said
    assert "mobile number" in said
    assert said.rstrip().endswith("crosses")
    assert VALUE not in said


def test_a_message_that_would_be_refused_says_why(host: Host) -> None:
    code, said = reported(host, "orders", f'{{"phone": "{VALUE}"')
    assert code == 1
    assert "refused: not_well_formed" in said
    assert VALUE not in said


def test_a_channel_that_does_not_de_identify_is_told(host: Host) -> None:
    code, said = reported(host, "adt", "{}")
    assert code == 1
    assert "no channel that de-identifies" in said


def test_it_says_the_same_of_an_instance(host: Host) -> None:
    text = host.policy.read_text().partition(POLICY)[0]
    content = '[channels.content.dicom]\nsop_classes = "any"\n'
    host.policy.write_text(f'{text}[channels.deidentification]\nkey = "study"\n{content}')
    host.sign()
    sample = host.config.parent / "sample"
    sample.write_bytes(ct(PatientName="Zhang^San", StudyDescription=VALUE))
    arguments = ["deidentify-report", "--config", str(host.config), "--channel", "orders"]
    result = CliRunner().invoke(cli, [*arguments, str(sample)])
    assert result.exit_code == 0, result.output
    assert "PatientName               name        remove     1       1" in result.output
    assert "PatientID                 internal    pseudonym" in result.output
    assert "Zhang" not in result.output
