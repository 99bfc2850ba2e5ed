"""One bad configuration a mistake, on the inner side."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry_format.keys import KeyKind, TrustStore
from ferry_runtime.configuration import ConfigurationError, ConfigurationProblem
from inner_agent.checks import check_inner
from inner_agent.config import load_config
from inner_agent.policy import load_policy
from tests.simulator.configured_site import Host, inner_host, make_key


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return inner_host(tmp_path / "inner")


def problems(host: Host) -> list[ConfigurationProblem]:
    try:
        config = load_config(host.config)
        host.sign()
        policy = load_policy(config.policy.file, config.policy.security_admin)
    except ConfigurationError as error:
        return list(error.problems)
    return check_inner(config, policy)


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new))


def test_the_valid_site_has_no_problem(host: Host) -> None:
    assert problems(host) == []


CONFIG_MISTAKES = [
    ('receiving = ["his.key"]', "receiving = []", 6, "keys.receiving", "too few", "at least 1"),
    (
        'receiving = ["his.key"]',
        'receiving = "his.key"',
        6,
        "keys.receiving",
        "not a list",
        "brackets",
    ),
    ('["his.key"]', '["his.key", "his.key"]', 6, "keys.receiving", "twice", "once"),
    ('["his.key"]', '["front-1.key"]', 6, "keys.receiving[1]", "ferry-receive-1", "generate"),
    ("journal.key", "his.key", 7, "keys.journal", "ferry-journal-1", "generate"),
    (
        'path = "medium"',
        'path = "medium"\nowner = "nobody-here"',
        15,
        "medium.owner",
        "no user",
        "ls -n",
    ),
    ("port = 2576", "port = 65536", 27, "sinks[his-adt].port", "too large", "65535"),
    ('host = "127.0.0.1"', 'host = "10.1.1.1"', 26, "sinks[his-adt].host", "without TLS", "tls_ca"),
    ('host = "127.0.0.1"', 'host = "his:2575"', 26, "sinks[his-adt].host", "not a host", "port"),
    (
        "http://127.0.0.1:8080",
        "http://10.1.1.1",
        32,
        "sinks[his-orders].url",
        "without TLS",
        "https",
    ),
    ("http://127.0.0.1", "https://127.0.0.1", 29, "sinks[his-orders]", "no tls_ca", "PEM file"),
    (
        "http://127.0.0.1",
        "http://me:pw@127.0.0.1",
        32,
        "sinks[his-orders].url",
        "password",
        "authorization_file",
    ),
    ("http://127.0.0.1", "ftp://127.0.0.1", 32, "sinks[his-orders].url", "web address", "https://"),
    (
        '/orders"',
        '/orders"\nheaders = { Authorization = "x" }',
        33,
        "sinks[his-orders].headers",
        "authorization",
        "authorization_file",
    ),
    (
        '/orders"',
        '/orders"\nauthorization_file = "security-admin.pub"',
        33,
        "sinks[his-orders].authorization_file",
        "others than its owner",
        "0600",
    ),
    (
        '/orders"',
        '/orders"\ntls_certificate = "x.pem"',
        29,
        "sinks[his-orders]",
        "without the other",
        "both, or neither",
    ),
    (
        'path = "archive"',
        'path = "archive"\nsuffix = "/../x"',
        38,
        "sinks[archive].suffix",
        "ending",
        ".hl7",
    ),
    ('name = "archive"', 'name = "his-adt"', 36, "sinks[his-adt].name", "twice", "its own"),
]

POLICY_MISTAKES = [
    (
        'sink = "his-adt"',
        'sink = "his-adt"\non_gap = "skip"',
        14,
        "channels[adt].on_gap",
        "allowed",
        "'hold'",
    ),
    (
        'sink = "his-adt"',
        'sink = "his-adt"\norder_by = "patient"',
        14,
        "channels[adt].order_by",
        "not accepted",
        "PID-3.1",
    ),
    (
        'sink = "his-adt"',
        'sink = "his-adt"\norder_by = "/patient/id"',
        11,
        "channels[adt]",
        "another family",
        "PID-3.1",
    ),
    (
        'lane = "front-to-his"',
        'lane = "front-to-his"\ngap_wait_s = 0',
        4,
        "gap_wait_s",
        "too small",
        "above",
    ),
    (
        'channels = ["adt", "orders"]',
        'channels = ["adt", "gone"]',
        8,
        "senders[front-1].channels",
        "gone",
        "adt, orders",
    ),
    ("00:00:00Z", "00:00:00", 9, "senders[front-1].not_before", "without its zone", "Z for UTC"),
    (
        "not_before =",
        "suites = [2]\nnot_before =",
        9,
        "senders[front-1].suites[1]",
        "allowed",
        "Write 1",
    ),
    (
        "not_before =",
        "revoked = 1\nnot_before =",
        9,
        "senders[front-1].revoked",
        "true nor false",
        "quotes",
    ),
    ("not_before =", "revoked = true\nnot_before =", 5, "senders", "all revoked", "present key"),
    (
        "not_before =",
        "not_after = 2025-01-01T00:00:00Z\nnot_before =",
        5,
        "senders[front-1]",
        "at or after not_after",
        "Correct",
    ),
    ('sink = "his-adt"', 'sink = "gone"', 13, "channels[adt].sink", "sink gone", "his-orders"),
    (
        'sink = "his-orders"',
        'sink = "his-adt"',
        20,
        "channels[orders].sink",
        "MLLP sink",
        "folder sink",
    ),
    (
        'sink = "his-adt"',
        'sink = "his-adt"\nretry_first_s = 61',
        11,
        "channels[adt]",
        "above retry_most_s",
        "Raise",
    ),
    (
        'sink = "his-adt"',
        'sink = "his-adt"\nattempts_max = -1',
        14,
        "channels[adt].attempts_max",
        "small",
        "0 or more",
    ),
    ("ferry-sign-1:", "ferry-receive-1:", 7, "senders[front-1].key", "ferry-sign-1", "ferry-keys"),
]


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "key", "problem", "action"),
    [("inner.toml", *row) for row in CONFIG_MISTAKES]
    + [("policy.toml", *row) for row in POLICY_MISTAKES],
    ids=[f"{row[3]}-{row[4]}" for row in CONFIG_MISTAKES + POLICY_MISTAKES],
)
def test_each_mistake_is_told(
    host: Host, *, file: str, old: str, new: str, line: int, key: str, problem: str, action: str
) -> None:
    change(host.folder / file, old, new)
    found = [one for one in problems(host) if Path(one.file).name == file and one.key == key]
    assert len(found) == 1, [str(one) for one in problems(host)]
    assert (found[0].line, problem in found[0].problem, action in found[0].action) == (
        line,
        True,
        True,
    ), str(found[0])


def test_one_key_in_two_sender_tables_is_told(host: Host) -> None:
    token = host.keys["front-1"].public.token
    host.policy.write_text(
        host.policy.read_text()
        + f'\n[[senders]]\nname = "front-2"\nkey = "{token}"\nchannels = ["adt"]\n'
    )
    (one,) = problems(host)
    assert (one.key, "front-1" in one.problem) == ("senders[front-2].key", True)


def test_old_and_new_keys_stand_side_by_side(host: Host) -> None:
    make_key(host.folder, KeyKind.RECEIVE, "his-2027")
    change(host.config, '["his.key"]', '["his-2027.key", "his.key"]')
    assert problems(host) == []


def test_the_policy_becomes_a_trust_store(host: Host) -> None:
    public = host.keys["front-1"].public
    policy = load_policy(host.policy, host.folder / "security-admin.pub")
    sender = TrustStore(policy.trusted_senders()).find(public.key_id)
    assert sender is not None
    assert (sender.name, sender.channels, sender.suites) == (
        "front-1",
        frozenset({"adt", "orders"}),
        frozenset({1}),
    )
    assert sender.not_before_ms == 1_767_225_600_000


def test_files_that_no_scanner_can_join_are_not_to_be_scanned(host: Host) -> None:
    host.config.write_text(host.config.read_text() + '\n[scanner]\nsocket = "clamd.ctl"\n')
    scanned = 'virus_scan = true\n[channels.content.hl7v2]\nattachments = ["application/pdf"]'
    change(host.policy, "[channels.content.hl7v2]", scanned)
    assert problems(host) == []
    change(host.policy, "attachments =", 'fidelity = "verbatim"\nattachments =')
    (problem,) = problems(host)
    assert problem.key == "channels[adt]"
    assert "in pieces" in problem.problem
    assert "fidelity" in problem.action


def test_a_channel_that_asks_for_a_scanner_needs_one(host: Host) -> None:
    change(host.policy, "[channels.content.json]", "virus_scan = true\n[channels.content.json]")
    (problem,) = problems(host)
    assert problem.key == "channels[orders].virus_scan"
    assert "inner.toml names none" in problem.problem
    host.config.write_text(host.config.read_text() + '\n[scanner]\nsocket = "clamd.ctl"\n')
    assert problems(host) == []


def test_objects_are_not_looked_through_for_what_is_left(host: Host) -> None:
    text = host.policy.read_text()
    before, _, _ = text.rpartition("[channels.content.")
    objects = '[channels.content.object]\ntype = "application/pdf"\n'
    host.policy.write_text(f"{before}deidentified = true\n{objects}")
    assert any("not looked through" in each.problem for each in problems(host))
