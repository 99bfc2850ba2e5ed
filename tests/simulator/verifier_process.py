"""A verifier process for tests: `python -m tests.simulator.verifier_process ROOT STATE KEYS`.

KEYS is a folder with `receiver.key` and `sender.pub`. FERRY_DIE_AT names an instant at which the
process kills itself as a power cut would: `before_take N`, `in_take N`, `after_take N`. It writes
a line when it begins.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from ferry_format import keys
from ferry_format.container import Opener
from ferry_format.keys import TrustedSender, TrustStore
from ferry_format.medium.reader import MediumReader
from ferry_format.medium.watch import Watch
from inner_agent.journal_writer import JournalWriter
from inner_agent.retention import RetentionPolicy
from inner_agent.verifier import Verifier, VerifierSettings
from inner_agent.verifier_metrics import VerifierMetrics
from inner_agent.workplace import BatchLimits
from tests.simulator.sending_side import LANE
from tests.simulator.verifying_side import CIPHER, RULES, Recorded, StandInValidators


class DyingJournal(JournalWriter):
    """Dies at the instant that it was told."""

    takes = 0

    def take(self, batch):
        when, _, number = os.environ.get("FERRY_DIE_AT", "never 0").partition(" ")
        self.takes += 1
        due = self.takes == int(number)
        if due and when == "before_take":
            os.kill(os.getpid(), signal.SIGKILL)
        if due and when == "in_take":
            # The rows are written, the commit is not.
            self._stream = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        taken = super().take(batch)
        if due and when == "after_take":
            os.kill(os.getpid(), signal.SIGKILL)
        return taken


def main() -> None:
    root, state_dir, key_folder = (Path(argument) for argument in sys.argv[1:])
    public = keys.parse_key_file((key_folder / "sender.pub").read_text(), "sender").public
    receiver = keys.parse_key_file((key_folder / "receiver.key").read_text(), "receiver")
    sender = TrustedSender("front", public, frozenset({1}), frozenset({"adt", "lab"}))
    verifier = Verifier(
        VerifierSettings(
            state_dir,
            RULES,
            RetentionPolicy(keep_hours=1, keep_record_hours=2, bytes_max=1 << 30),
            30,
            0.05,
            BatchLimits(files_max=3),
        ),
        medium=MediumReader(root, None),
        watch=Watch(),
        opener=Opener(TrustStore([sender]), [receiver], LANE),
        validators=StandInValidators(),
        journal=DyingJournal(state_dir / "journal.db", CIPHER),
        metrics=VerifierMetrics(CollectorRegistry()),
        audit=Recorded(),
    )
    signal.signal(signal.SIGTERM, lambda *_: verifier.stop())
    print("ready", flush=True)
    verifier.run()


if __name__ == "__main__":
    main()
