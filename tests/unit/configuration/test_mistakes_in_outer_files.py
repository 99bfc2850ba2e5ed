"""One bad configuration a mistake: file, line, key and what to do are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferry_format.keys import KeyKind, generate, private_text
from ferry_runtime.configuration import ConfigurationError, ConfigurationProblem
from outer_agent.checks import check_outer
from outer_agent.config import load_config
from outer_agent.policy import load_policy
from tests.simulator.configured_site import NOW, Host, outer_host


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return outer_host(tmp_path / "outer")


def problems(host: Host) -> list[ConfigurationProblem]:
    try:
        config = load_config(host.config)
        host.sign()
        policy = load_policy(config.policy.file, config.policy.security_admin)
    except ConfigurationError as error:
        return list(error.problems)
    return check_outer(config, policy)


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, old
    file.write_text(text.replace(old, new))


def test_the_valid_site_has_no_problem(host: Host) -> None:
    assert problems(host) == []


CONFIG_MISTAKES = [
    # old text, new text, line, key, problem, action
    ('name = "front-1"\n', "", 1, "agent.name", "is missing", "Add the key name"),
    ("state_dir", "statedir", 3, "agent.statedir", "is no known key", "Did you mean state_dir?"),
    ('name = "front-1"', 'name = "Front 1"', 2, "agent.name", "not a valid name", "lower-case"),
    ('name = "front-1"', "name = 5", 2, "agent.name", "is not text", "quotes"),
    ("[medium]\n", "[medium]\nkeep_hours = -1\n", 13, "medium.keep_hours", "too small", "above 0"),
    ("[medium]\n", '[medium]\nbytes_max = "8"\n', 13, "medium.bytes_max", "whole number", "quotes"),
    ("[medium]\n", "[medium]\nbytes_max = 8.5\n", 13, "medium.bytes_max", "whole number", "whole"),
    ("[medium]\n", "[medium]\nheartbeat_s = inf\n", 13, "medium.heartbeat_s", "finite", "ordinary"),
    ("[metrics]\n", "[metricks]\n", 15, "metricks", "is no known key", "Did you mean metrics?"),
    ('listen = "127.0.0.1:9464"', 'listen = "9464"', 16, "metrics.listen", "address", "127.0.0.1:"),
    (
        'listen = "127.0.0.1:9464"',
        'listen = "::1:9464"',
        16,
        "metrics.listen",
        "address",
        "bracket",
    ),
    (
        'listen = "127.0.0.1:9464"',
        'listen = "0.0.0.0:9464"',
        16,
        "metrics.listen",
        "without TLS",
        "allow_plaintext = true",
    ),
    ('"127.0.0.1:9464"', '"127.0.0.1:2575"', 30, "sources[adt-in].listen", "twice", "its own"),
    ('kind = "http"', 'kind = "ftp"', 23, "sources[front-http].kind", "allowed words", "'mllp'"),
    ('kind = "http"\n', "", 22, "sources[front-http].kind", "is missing", "'folder'"),
    (
        'listen = "127.0.0.1:2575"',
        'listn = "x"',
        30,
        "sources[adt-in].listn",
        "no known",
        "listen?",
    ),
    ('channel = "adt"', 'chanel = "adt"', 31, "sources[adt-in].chanel", "no known", "channel?"),
    (
        'channel = "adt"',
        'channel = "adt"\nacknowledgement = "both"',
        32,
        "sources[adt-in].acknowledgement",
        "allowed words",
        "'enhanced'",
    ),
    (
        'listen = "127.0.0.1:2575"',
        'listen = "10.0.0.1:2575"',
        30,
        "sources[adt-in].listen",
        "without TLS",
        "tls_certificate",
    ),
    (
        'listen = "127.0.0.1:8443"',
        'listen = "127.0.0.1:8443"\ntls_key = "x.pem"',
        22,
        "sources[front-http]",
        "without the other",
        "both, or neither",
    ),
    (
        'listen = "127.0.0.1:8443"',
        'listen = "127.0.0.1:8443"\ntls_client_ca = "x.pem"',
        22,
        "sources[front-http]",
        "without speaking TLS",
        "tls_certificate",
    ),
    (
        'listen = "127.0.0.1:8443"',
        'listen = "127.0.0.1:8443"\ntls_key = "audit.key"\ntls_certificate = "gone.pem"',
        27,
        "sources[front-http].tls_certificate",
        "No such file",
        "gone.pem",
    ),
    (
        'listen = "127.0.0.1:8443"',
        'listen = "127.0.0.1:8443"\ntls_key = "audit.key"\ntls_certificate = "front-1.pub"',
        27,
        "sources[front-http].tls_certificate",
        "cannot be used with tls_key",
        "its own key",
    ),
    ('name = "adt-in"', 'name = "front-http"', 29, "sources[front-http].name", "twice", "its own"),
    ('channel = "adt"', 'channel = "gone"', 31, "sources[adt-in].channel", "gone", "adt, orders"),
    (
        'channel = "adt"',
        'channel = "orders"',
        31,
        "sources[adt-in].channel",
        "MLLP",
        "http or folder",
    ),
    ('name = "adt-in"', 'name = "new-in"', 31, "sources[new-in].channel", "be known", "listeners"),
    ('path = "drop"', 'path = "gone"', 36, "sources[orders-folder].path", "No such", "Make the"),
    ('path = "drop"', 'path = "state"', 36, "sources[orders-folder].path", "same folder", "own"),
    ('path = "medium"', 'path = "outer.toml"', 13, "medium.path", "is no folder", "Name a folder"),
    ('dir = "audit"', 'dir = "gone/audit"', 19, "audit.dir", "No such", "Make the folder"),
    ('key = "audit.key"', 'key = "front-1.key"', 20, "audit.key", "ferry-audit-1", "generate"),
    ('key = "audit.key"\n', "", 18, "audit.key", "is missing", "ferry-keys generate audit"),
    (
        'key = "audit.key"',
        'key = "audit.key"\nkeep_days = 179',
        21,
        "audit.keep_days",
        "too small",
        "180 or more",
    ),
    ("front-1.key", "front-1.pub", 6, "keys.signing", "others than its owner", "0600"),
    ("front-1.key", "gone.key", 6, "keys.signing", "No such file", "generate"),
    ("front-1.key", "credential:signing", 6, "keys.signing", "passed none", "LoadCredential="),
    (
        "[keys]",
        "[spool]\nkeep_hours = 1\n[keys]",
        6,
        "spool.keep_hours",
        "less than medium.keep_hours",
        "at least as long",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "problem", "action"),
    CONFIG_MISTAKES,
    ids=[f"{row[3]}-{row[4]}" for row in CONFIG_MISTAKES],
)
def test_each_mistake_in_outer_toml_is_told(
    host: Host, *, old: str, new: str, line: int, key: str, problem: str, action: str
) -> None:
    change(host.config, old, new)
    found = [one for one in problems(host) if one.file == str(host.config) and one.key == key]
    assert len(found) == 1, [str(one) for one in problems(host)]
    assert (found[0].line, problem in found[0].problem, action in found[0].action) == (
        line,
        True,
        True,
    ), str(found[0])


POLICY_MISTAKES = [
    (
        "rate_per_s = 200\n",
        'rate_per_s = 200\nbatches = "split"\n',
        13,
        "channels[adt]",
        "50 messages through at once",
        "Raise burst",
    ),
    (
        "rate_per_s = 200\n",
        "rate_per_s = 200\nbatch_bytes_max = 5\n",
        13,
        "channels[adt]",
        "batch_bytes_max without",
        "split",
    ),
    (
        "[channels.content.json]",
        'batches = "split"\n[channels.content.json]',
        23,
        "channels[orders]",
        "content does not have",
        "Remove batches",
    ),
    ("version = 1", "version = 2", 1, "version", "allowed words", "Write 1"),
    ('side = "outer"', 'side = "inner"', 2, "side", "allowed words", "'outer'"),
    ('lane = "front-to-his"\n', "", None, "lane", "is missing", "Add the key lane"),
    (
        'key = "ferry-receive-1:',
        'key = "ferry-receive-1:A',
        6,
        "receiver.key",
        "not a",
        "ferry-keys",
    ),
    ("aa0000", "AA0000", 10, "senders[his-front].api_keys_sha256[1]", "SHA-256", "lower-case"),
    ("aa0000", "aa000", 10, "senders[his-front].api_keys_sha256[1]", "SHA-256", "64"),
    (
        'listeners = ["adt-in", "orders-folder"]',
        'listeners = ["adt-in", "orders-folder", "gone"]',
        11,
        "senders[his-front].listeners",
        "source gone",
        "front-http",
    ),
    (
        'listeners = ["adt-in"',
        'tls_names = ["his.example"]\nlisteners = ["adt-in"',
        11,
        "senders[his-front].tls_names",
        "no effect",
        "tls_client_ca",
    ),
    (
        '[[channels]]\nname = "adt"',
        '[[senders]]\nname = "other"\nlisteners = ["adt-in"]\n\n[[channels]]\nname = "adt"',
        15,
        "senders[other].listeners",
        "the sender his-front",
        "one of the two",
    ),
    (
        '[[channels]]\nname = "adt"',
        '[[senders]]\nname = "other"\n\n[[channels]]\nname = "adt"',
        13,
        "senders[other]",
        "cannot be identified",
        "api_keys_sha256",
    ),
    ('name = "orders"', 'name = "adt"', 24, "channels[adt].name", "stands twice", "its own"),
    (
        "message_bytes_max = 65536",
        "message_bytes_max = 16777217",
        16,
        "channels[adt].message_bytes_max",
        "too large",
        "16777216",
    ),
    ("rate_per_s = 200\n", "", 13, "channels[adt]", "burst without rate_per_s", "Add rate_per_s"),
    ("rate_per_s = 200", "rate_per_s = 0", 17, "channels[adt].rate_per_s", "too small", "above 0"),
    ('segments = "any"\n', "", 19, "channels[adt].content.hl7v2.segments", "missing", "segments"),
    (
        'messages = ["ADT^*"]',
        'messages = ["adt-*"]',
        20,
        "channels[adt].content.hl7v2.messages[1]",
        "not accepted",
        "Write a message type",
    ),
    (
        "[channels.content.hl7v2]",
        "[channels.content.hl7v3]",
        19,
        "channels[adt].content.hl7v3",
        "no known key",
        "Did you mean hl7v2?",
    ),
    (
        'segments = "any"',
        'segments = "any"\nmessage_bytes_max = 65537',
        22,
        "channels[adt].content.hl7v2.message_bytes_max",
        "more than the channel's",
        "Lower it",
    ),
    (
        'segments = "any"',
        'segments = ["pid"]',
        21,
        "channels[adt].content.hl7v2.segments[1]",
        "not accepted",
        "capital",
    ),
    (
        'schema_file = "order.schema.json"',
        'schema_file = "../order.schema.json"',
        27,
        "channels[orders].content.json.schema_file",
        "inside the policy's folder",
        "sign the policy again",
    ),
    (
        'schema_file = "order.schema.json"',
        'schema_file = "policy.toml"',
        27,
        "channels[orders].content.json.schema_file",
        "SHA-256",
        "sha256sum",
    ),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "problem", "action"),
    POLICY_MISTAKES,
    ids=[f"{row[3]}-{row[4]}" for row in POLICY_MISTAKES],
)
def test_each_mistake_in_the_outer_policy_is_told(
    host: Host, *, old: str, new: str, line: int | None, key: str, problem: str, action: str
) -> None:
    change(host.policy, old, new)
    found = [one for one in problems(host) if one.file == str(host.policy) and one.key == key]
    assert len(found) == 1, [str(one) for one in problems(host)]
    assert (found[0].line, problem in found[0].problem, action in found[0].action) == (
        line,
        True,
        True,
    ), str(found[0])


def test_a_batch_must_fit_what_may_wait_at_once(host: Host) -> None:
    change(host.config, "[medium]\n", "[intake]\nwaiting_max = 499\n\n[medium]\n")
    change(host.policy, "rate_per_s = 200\nburst = 50\n", 'batches = "split"\n')
    [found] = problems(host)
    assert found.key == "channels[adt].batch_messages_max"
    assert "intake.waiting_max = 499" in found.problem


def test_a_part_of_a_schema_is_looked_for_like_the_schema(host: Host) -> None:
    text = host.policy.read_text()
    content = text[text.index("[channels.content.json]") :]
    host.policy.write_text(
        text.replace(
            content,
            '[channels.content.xml]\nroots = "any"\nelements = "any"\n'
            + content.split("\n", 1)[1]
            + 'schema_parts = [{file = "gone.xsd", sha256 = "'
            + "0" * 64
            + '"}]\n',
        )
    )
    assert [one.key for one in problems(host)] == ["channels[orders].content.xml.schema_parts"]


def test_all_problems_come_at_once(host: Host) -> None:
    change(host.config, 'name = "front-1"', "name = 5")
    change(host.config, "[medium]\n", "[medium]\nkeep_hours = -1\ncolour = 3\n")
    keys = {one.key for one in problems(host)}
    assert keys == {"agent.name", "medium.keep_hours", "medium.colour"}


def test_a_list_whose_entries_are_all_wrong_is_not_called_too_short(host: Host) -> None:
    host.config.write_text(host.config.read_text().split("[[sources]]")[0] + "[[sources]]\n")
    assert [one.key for one in problems(host)] == ["sources[1].kind"]


def test_syntax_is_told_with_its_line_and_without_the_value(host: Host) -> None:
    change(host.config, 'name = "front-1"', 'name = "secret-word')
    (one,) = problems(host)
    assert one.line == 2
    assert "secret" not in str(one)


def test_no_value_is_ever_shown(host: Host) -> None:
    change(host.config, 'name = "front-1"', 'name = "SECRETWORD secretword"')
    change(host.config, "[medium]\n", '[medium]\nkeep_hours = "SECRETWORD"\n')
    change(host.policy, "aa0000", "SECRETWORD")
    text = "\n".join(map(str, problems(host)))
    assert text
    assert "SECRETWORD" not in text.upper()


def test_a_missing_file_is_one_plain_problem(host: Host) -> None:
    host.config.unlink()
    (one,) = problems(host)
    assert one.file == str(host.config)
    assert "No such file" in one.problem


def test_a_state_folder_open_to_all_is_told(host: Host) -> None:
    (host.folder / "state").chmod(0o755)
    (one,) = problems(host)
    assert (one.key, one.line) == ("agent.state_dir", 3)
    assert "chmod o-rwx" in one.action


def test_an_exposed_signing_key_is_told(host: Host) -> None:
    (host.folder / "front-1.key").chmod(0o640)
    (one,) = problems(host)
    assert (one.key, one.line) == ("keys.signing", 6)
    assert "0640" in one.problem


def test_a_systemd_credential_is_a_path(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(host.folder))
    change(host.config, '"front-1.key"', '"credential:front-1.key"')
    assert problems(host) == []


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
    assert "outer.toml names none" in problem.problem
    host.config.write_text(host.config.read_text() + '\n[scanner]\nsocket = "clamd.ctl"\n')
    assert problems(host) == []


DEIDENTIFIED = '[channels.deidentification]\nkey = "research"\n'
JSON_CHANNEL = "[channels.content.json]"


def with_deidentification(host: Host, text: str) -> None:
    change(host.policy, JSON_CHANNEL, f"{text}{JSON_CHANNEL}")


def test_a_channel_that_asks_for_de_identification_needs_its_key(host: Host) -> None:
    places = '[[channels.deidentification.places]]\nat = "/**"\nholds = "keep"\n'
    with_deidentification(host, DEIDENTIFIED + places)
    (problem,) = problems(host)
    assert problem.key == "channels[orders].deidentification.key"
    assert "outer.toml has none" in problem.problem
    file = host.config.parent / "study.key"
    file.touch(mode=0o600)
    file.write_text(private_text(generate(KeyKind.DEIDENTIFICATION, "study", NOW)))
    host.config.write_text(f'{host.config.read_text()}\n[deidentification]\nkeys = ["{file}"]\n')
    (problem,) = problems(host)
    assert "research, which does not exist" in problem.problem
    change(host.policy, '"research"', '"study"')
    assert problems(host) == []
    change(host.policy, DEIDENTIFIED.replace("research", "study") + places, "")
    (problem,) = problems(host)
    assert problem.key == "deidentification"
    assert "no effect" in problem.problem


@pytest.mark.parametrize(
    ("text", "problem", "action"),
    [
        ("", "names no places", "Say of each place"),
        (
            '[[channels.deidentification.places]]\nat = "PID-5"\nholds = "name"\n',
            "the place PID-5, which json does not have",
            "a JSON pointer",
        ),
        (
            '[[channels.deidentification.places]]\nat = "/when"\nholds = "date"\n',
            "does not say where the patient's number stands",
            "Add patient",
        ),
        (
            '[[channels.deidentification.places]]\nat = "/a"\nholds = "keep"\n' * 2,
            "is not accepted",
            "A place stands twice",
        ),
        (
            '[[channels.deidentification.places]]\nat = "/a"\nholds = "naem"\n',
            "is not one of the allowed words",
            "'name'",
        ),
    ],
)
def test_a_de_identification_fits_its_content(
    host: Host, text: str, problem: str, action: str
) -> None:
    with_deidentification(host, DEIDENTIFIED + text)
    (found,) = problems(host)
    assert problem in found.problem
    assert action in found.action


@pytest.mark.parametrize(
    ("text", "problem", "action"),
    [
        ('patient = "patientId"\n', "the place patientId, which dicom does not", "keyword"),
        (
            '[[channels.deidentification.places]]\nat = "PatientNom"\nholds = "name"\n',
            "names PatientNom, which is no element of DICOM",
            "Write a keyword",
        ),
        ('dates = "day-number"\n', "counts days where only dates", "Set dates"),
        ("", "writes elements that content.dicom.elements does not name", "CodeMeaning, CodeValue"),
    ],
)
def test_a_de_identification_fits_its_instances(
    host: Host, text: str, problem: str, action: str
) -> None:
    content = '[channels.content.dicom]\nsop_classes = "any"\n'
    if not text:
        content += 'elements = ["PatientID"]\n'
    before, _, _ = host.policy.read_text().rpartition(JSON_CHANNEL)
    host.policy.write_text(before + DEIDENTIFIED + text + content)
    found = [each for each in problems(host) if problem in each.problem]
    assert len(found) == 1, problems(host)
    assert action in found[0].action


def test_options_of_dicom_stand_beside_dicom(host: Host) -> None:
    with_deidentification(host, DEIDENTIFIED + "[channels.deidentification.dicom]\n")
    (found,) = problems(host)
    assert "has options of dicom for another family" in found.problem


@pytest.mark.parametrize(
    ("table", "key", "problem"),
    [
        ("", "scanner", "names no scanner"),
        ('icap = "192.0.2.7"', "scanner.icap", "is not an ICAP service"),
        ('icap = "icap://host:1344/scan"', "scanner.icap", "is not an ICAP service"),
    ],
)
def test_a_scanner_is_named_and_has_an_address(
    host: Host, table: str, key: str, problem: str
) -> None:
    host.config.write_text(f"{host.config.read_text()}\n[scanner]\n{table}\n")
    (found,) = problems(host)
    assert (found.key, problem in found.problem) == (key, True), found
    assert found.action
