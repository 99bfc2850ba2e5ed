"""What may be wrong about DICOM's sources, sinks and senders is told, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry_runtime.configuration import ConfigurationError, ConfigurationProblem
from inner_agent import checks as inner_checks
from inner_agent import config as inner_config
from inner_agent import policy as inner_policy
from outer_agent import checks as outer_checks
from outer_agent import config as outer_config
from outer_agent import policy as outer_policy
from tests.simulator.configured_site import Host, inner_host, outer_host

SOURCE = 'kind = "dicom"\nae_title = "FERRY"'
SINK = 'kind = "dicom"\nae_title = "FERRY"\ncalled_ae_title = "PACS"'


def outer_problems(host: Host) -> list[ConfigurationProblem]:
    try:
        config = outer_config.load_config(host.config)
        host.sign()
        policy = outer_policy.load_policy(config.policy.file, config.policy.security_admin)
    except ConfigurationError as error:
        return list(error.problems)
    return outer_checks.check_outer(config, policy)


def inner_problems(host: Host) -> list[ConfigurationProblem]:
    try:
        config = inner_config.load_config(host.config)
        host.sign()
        policy = inner_policy.load_policy(config.policy.file, config.policy.security_admin)
    except ConfigurationError as error:
        return list(error.problems)
    return inner_checks.check_inner(config, policy)


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new))


def told(problems: list[ConfigurationProblem]) -> str:
    return "\n".join(str(problem) for problem in problems)


def test_a_dicom_source_takes_a_channel_that_carries_dicom(tmp_path: Path) -> None:
    host = outer_host(tmp_path / "outer")
    change(host.config, 'kind = "mllp"', SOURCE)
    assert "without content.dicom" in told(outer_problems(host))


@pytest.mark.parametrize(
    ("more", "problem", "action"),
    [
        ('peers = ["10.0.0.0/99"]', "not an address or network", "10.1.2.0/24"),
        ("associations_max = 0", "too small", "1"),
        ('ae_titel = "A"', "no known key", "Did you mean ae_title?"),
    ],
)
def test_a_dicom_sources_own_keys_are_checked(
    tmp_path: Path, more: str, problem: str, action: str
) -> None:
    host = outer_host(tmp_path / "outer")
    change(host.config, 'kind = "mllp"', f"{SOURCE}\n{more}")
    said = told(outer_problems(host))
    assert problem in said
    assert action in said


@pytest.mark.parametrize("title", ["A" * 17, " CT1", "C\\\\T"])
def test_what_is_no_title_is_told(tmp_path: Path, title: str) -> None:
    host = outer_host(tmp_path / "outer")
    change(host.config, 'kind = "mllp"', SOURCE.replace("FERRY", title))
    assert "is not an AE title" in told(outer_problems(host))


def test_titles_without_a_dicom_source_have_no_effect(tmp_path: Path) -> None:
    host = outer_host(tmp_path / "outer")
    change(host.policy, 'listeners = ["adt-in"', 'ae_titles = ["CT1"]\nlisteners = ["adt-in"')
    assert "there is no DICOM source" in told(outer_problems(host))


def test_a_dicom_sink_takes_what_is_dicom(tmp_path: Path) -> None:
    host = inner_host(tmp_path / "inner")
    change(host.config, 'kind = "mllp"', SINK)
    assert "has no content.dicom" in told(inner_problems(host))
