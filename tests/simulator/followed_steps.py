"""What the pages take for granted at each of their commands, what is answered there, what is told.

A runbook's section begins with the trouble that it is for; it is made here, on a pair that runs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulator.clients import MllpSender, code_of
from tests.simulator.hl7_receiver import Hl7Behaviour, Hl7Receiver
from tests.simulator.two_hosts import UNITS, TwoHosts
from tests.unit.markdown_pages import ROOT
from validators import profiles


class Site(TwoHosts):
    """The hosts, and the internal system that the guide's channel `adt` leads to."""

    def __init__(self, root: Path, his: Hl7Receiver) -> None:
        super().__init__(root)
        self.his = his
        self.number = 0

    def send(self) -> None:
        """A message of its own to `adt`, acknowledged."""
        self.number += 1
        sample = next(iter(profiles.load("registration").accepted.values()))
        fields = sample.split(b"|")
        fields[9] = b"N%d" % self.number
        sender = MllpSender(self.ports[2575])
        assert code_of(sender.send(b"|".join(fields))) == "AA"
        sender.close()

    def ferry_files(self) -> set[Path]:
        """What lies on the medium."""
        return set(self.root.glob("srv/ferry-medium/*/*/*.ferry"))

    def until(self, line: str, pattern: str) -> None:
        """Wait until the answer to a command has something."""
        deadline_s = time.monotonic() + 30
        while not re.search(pattern, (done := self.run(line)).told):
            assert time.monotonic() < deadline_s, f"{line}: no {pattern} in\n{done.told}"
            time.sleep(0.1)


@dataclass(frozen=True, slots=True)
class Step:
    """What belongs to a line beside itself, which alone has to end with 0.

    `before` makes what the page takes for granted, `typed` answers what is asked, `tells` is what
    has to be in the output. Of the sections that say the same line, `once` tries the first.
    """

    before: Callable[[Site], None] | None = None
    typed: Callable[[Site], str] | None = None
    codes: tuple[int, ...] = (0,)
    tells: str = ""
    once: bool = False


# What the page shows, and where the same was said here.
SAID: Final = {
    "2ede2d20-17": r"ferry-inner test (\S+)",
    "2ede2d20-20261128T053000": r"spool-(\w+-\w+)\.db",
    "FERRY1 2EDE2D20 120-125 130 6GGBPX": r"(FERRY1 [^\"\n]+)",
    "120-125": r"ferry-outer resend --range (\S+)",
    "2026-11-28T01:00:00+00:00": r"--since (\S+)",
    "1000:0f3a…": r"last checkpoint: (\S+)",
    "4711": r"MSA\|AA\|(\S+)",
    "NAME": r" (adt) ",
    "STREAM_ID": r"^([0-9a-f]{32})  front-1  (?:trusted|refused)",
    "MESSAGE_ID": r"\b([0-9a-f]{32})  adt (?!.*delivered)",
}


def outer_answers(site: Site) -> str:
    folders = "/srv/ferry-medium\n/var/lib/ferry-outer\n/var/log/ferry-outer/audit\n"
    return site.here(f"front-1\nfront-to-his\n{folders}")


def inner_answers(site: Site) -> str:
    sinks = f"mllp://127.0.0.1:{site.his.port}\n/srv/ferry-out/result\n"
    folders = "/srv/ferry-medium\n/var/lib/ferry-inner\n/var/log/ferry-inner/audit\n"
    return site.here(f"inner-1\nfront-to-his\n{folders}{sinks}")


def fingerprints(site: Site) -> str:
    sender = site.heard(r"The outer's key.*\n.*\n  in words: (.*)")
    receiver = site.heard(r"The inner's key.*\n.*\n.*\n  in digits: (.*)")
    return f"{sender}\n{receiver}\ny\n"


def policy_changed(site: Site) -> None:
    """As the guide asks the security administrator to: a gap is told sooner than in 30 s."""
    draft = site.root / "media/usb/inner-handover/policy.toml"
    draft.write_text(draft.read_text().replace("\nlane = ", "\ngap_wait_s = 0.5\nlane = "))


def administrators_fingerprint(site: Site) -> str:
    return site.heard(r"Your key.*\n.*\n  in words: (.*)") + "\n"


def agents_started(site: Site) -> None:
    """With ports that are free, and neither slower nor larger than a trial needs."""
    for side, workers in (
        ("outer", "[intake]\nvalidator_processes = 1\n[medium]\nheartbeat_s = 0.2"),
        ("inner", "[validators]\nprocesses = 1\n[medium]\nlook_s = 0.1"),
    ):
        file = site.root / f"etc/ferry-{side}/{side}.toml"
        file.write_text(site.with_ports(file.read_text()).replace("[medium]", workers))
    site.start(*UNITS)


def public_keys_carried(site: Site) -> None:
    for key in ("ferry-outer/keys/sender.pub", "ferry-inner/keys/receiver.pub"):
        shutil.copy(site.root / "etc" / key, site.desk)


def examples_copied(site: Site) -> None:
    for side in ("outer", "inner"):
        shutil.copytree(ROOT / "deploy/examples" / side, site.desk / side)


def policies_begun(site: Site) -> None:
    for side in ("outer", "inner"):
        (site.desk / side).mkdir()
        head = f'version = 1\nside = "{side}"\nlane = "front-to-his"\n'
        (site.desk / side / "policy.toml").write_text(head)


def a_days_messages(site: Site) -> None:
    (site.desk / "messages-of-a-day").mkdir()
    for file in (site.desk / "samples").glob("accepted.*"):
        shutil.copy(file, site.desk / "messages-of-a-day")


def a_days_orders(site: Site) -> None:
    (site.desk / "orders-of-a-day").mkdir()
    for file in (site.desk / "samples").glob("accepted.*"):
        shutil.copy(file, site.desk / "orders-of-a-day")


def trail_copied(site: Site) -> None:
    shutil.copytree(
        site.root / "var/log/ferry-outer/audit", site.root / "copy/of/audit", dirs_exist_ok=True
    )
    shutil.copy(site.root / "etc/ferry-outer/keys/audit.pub", site.desk)


def inner_trails_copied(site: Site) -> None:
    trails = site.root / "var/log/ferry-inner/audit"
    shutil.copytree(trails, site.root / "copy/of/inner-audit", dirs_exist_ok=True)
    key = site.root / "etc/ferry-inner/keys/audit.pub"
    shutil.copy(key, site.desk / "inner-audit.pub")


def order_given(site: Site) -> None:
    """There are no dead letters yet: it is recorded, and nothing comes of it."""
    site.run("ferry-inner requeue --channel adt --because sink_refused")
    inner_trails_copied(site)


def emptied(folder: Path) -> None:
    mode = folder.stat().st_mode
    shutil.rmtree(folder)
    folder.mkdir(mode)


def inner_lost(site: Site) -> None:
    site.send()
    site.until("ferry-inner messages", rf"N{site.number} .* delivered")
    site.stop("ferry-inner-verifier", "ferry-inner-replayer")
    shutil.copytree(site.root / "var/log/ferry-inner/audit", site.root / "srv/backup/audit")
    emptied(site.root / "var/lib/ferry-inner")


def all_read_again(site: Site) -> None:
    site.until("ferry-inner messages", rf"N{site.number} ")


def outer_lost(site: Site) -> None:
    site.start(*UNITS)
    site.stop("ferry-outer")
    emptied(site.root / "var/lib/ferry-outer")
    emptied(site.root / "srv/ferry-medium")


def new_stream_accepted(site: Site) -> None:
    site.until("ferry-inner streams", "  refused  ")
    stream = site.heard(r"^([0-9a-f]{32})  front-1  refused")
    assert site.run(f"ferry-inner streams accept {stream}").code == 0


def gap_opened(site: Site) -> None:
    """The ferry file with a message is gone from the medium before the verifier could read it."""
    verifier = site.pid("ferry-inner-verifier")
    os.kill(verifier, signal.SIGSTOP)
    seen = site.ferry_files()
    site.send()
    gone = site.ferry_files() - seen
    for file in gone:
        file.unlink()
    deadline_s = time.monotonic() + 30
    while not site.ferry_files() - seen:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    os.kill(verifier, signal.SIGCONT)
    last = max(int(file.stem) for file in gone)
    site.until("ferry-inner gaps", rf"\b{last}  .* False .*resend --range")


def first_gap_opened(site: Site) -> None:
    new_stream_accepted(site)
    gap_opened(site)


def one_refused_for_now(site: Site) -> None:
    site.his.default = Hl7Behaviour.ERROR
    site.send()
    site.until("ferry-inner messages", rf"N{site.number} .* delivering")


def two_refused_for_good(site: Site) -> None:
    site.his.default = Hl7Behaviour.REJECT
    site.send()
    site.send()
    site.until("ferry-inner deadletters", r"sink_refused.*(?s:.*)sink_refused")


def dead_again(site: Site) -> None:
    site.until("ferry-inner deadletters", r"sink_refused")


def stream_refused(site: Site) -> None:
    site.stop("ferry-outer")
    assert site.run("ferry-outer new-stream --yes").code == 0
    site.start("ferry-outer")
    site.until("ferry-inner streams", "  refused  ")


STEPS: Final[dict[str, dict[str, Step]]] = {
    "First set-up": {
        "sudo ferry-outer init --ch": Step(typed=outer_answers, tells="keys ceremony OUTER INNER"),
        "sudo ferry-inner init --ch": Step(typed=inner_answers, tells="keys ceremony OUTER INNER"),
        "ferry-keys ceremony": Step(policy_changed, fingerprints, tells="signed: .*inner"),
        "sudo ferry-outer init --signed": Step(typed=administrators_fingerprint, tells="made: "),
        "sudo ferry-inner init --signed": Step(typed=administrators_fingerprint, tells="made: "),
        "sudo ferry-outer test": Step(agents_started, tells="is on the medium"),
        "sudo ferry-inner test": Step(tells="the lane works"),
        "exec 3": Step(tells=r"^MSA\|AA\|"),
    },
    "Exchanging public keys": {"ferry-keys show": Step(public_keys_carried, tells="in words: ")},
    "Writing and signing policies": {
        "ferry-keys trust receiver.pub": Step(examples_copied),
        "ferry-profiles try": Step(a_days_orders),
    },
    "Channel profiles": {
        "ferry-profiles list": Step(policies_begun),
        "ferry-profiles try": Step(a_days_messages, codes=(1,), tells="not_decodable"),
    },
    "Every day": {
        "ferry-outer status": Step(tells=": well "),
        "ferry-inner status": Step(tells=": well "),
        "ferry-inner status --json": Step(tells=r'^  "well": true'),
        "ferry-inner messages": Step(tells=" delivered "),
        "ferry-inner quarantine": Step(tells="the quarantine is empty"),
        "ferry-audit verify /copy/of/audit --key audit.pub": Step(
            trail_copied, tells="result: whole"
        ),
        "ferry-audit verify /copy/of/inner-audit": Step(inner_trails_copied, tells="result: whole"),
        "ferry-audit verify /copy/of/inner-audit/operators": Step(
            order_given, tells="result: whole"
        ),
    },
    "The inner's host is lost": {
        "ferry-inner restore": Step(inner_lost, tells="ferry-inner settle --trail "),
        "ferry-inner gaps": Step(all_read_again, tells="nothing is missing"),
        "ferry-inner settle": Step(tells="recorded as delivered: 1$"),
    },
    "The outer's host is lost": {
        "ferry-outer restore": Step(outer_lost, tells="spool-"),
        "ferry-outer resend": Step(tells="published again: [1-9]"),
    },
    "Upgrading and going back": {"ferry-inner check": Step(new_stream_accepted)},
    "An outer restored from a backup": {"ferry-outer new-stream": Step(typed=lambda _: "y\n")},
    "FerryGapOpen": {
        "ferry-inner gaps": Step(first_gap_opened, codes=(1,), tells="ferry-outer resend --range "),
        "ferry-inner gaps --slip": Step(codes=(1,), tells="FERRY1"),
        "ferry-outer resend": Step(tells="published again: [1-9]"),
        "ferry-inner streams": Step(gap_opened),
        "ferry-inner streams give-up-gap": Step(),
    },
    "FerryMessagesWaiting": {
        "ferry-inner status": Step(one_refused_for_now, codes=(0, 1)),
        "ferry-inner messages": Step(tells=" delivering "),
        "ferry-inner discard": Step(tells="discarded"),
    },
    "FerryDeadLetters": {
        "ferry-inner deadletters": Step(two_refused_for_good),
        "ferry-inner requeue": Step(tells="requeued"),
        "ferry-inner requeue --channel": Step(dead_again, tells="requeued: [1-9]"),
        "ferry-inner discard": Step(dead_again, tells="discarded"),
    },
    "FerryStreamRefused": {
        "ferry-inner streams": Step(stream_refused, tells="refused"),
        "ferry-inner streams accept": Step(),
    },
}
"""By section, and by how the line begins."""

ANYWHERE: Final[dict[str, Step]] = {
    "": Step(),
    "ferry-outer status": Step(codes=(0, 1), tells="front-1", once=True),
    "ferry-inner status": Step(codes=(0, 1), tells="inner-1", once=True),
    "ferry-outer doctor": Step(codes=(0, 1), tells="^well    configuration: ", once=True),
    "ferry-inner doctor": Step(codes=(0, 1), tells="^well    configuration: ", once=True),
}
"""Lines that stand in many sections. A trial machine is not as a host should be: not well there."""


def step_of(section: str, line: str) -> Step:
    """What belongs to a line of a section: of those that it begins with, the longest."""
    steps = {**ANYWHERE, **STEPS.get(section, {})}
    return steps[max((start for start in steps if line.startswith(start)), key=len, default="")]
