"""An intake whose outcomes follow a script: what sources are tested against."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

from ferry_format.reasons import FerryError
from outer_agent.admission import Receipt, Submission


class ScriptedIntake:
    """Each submission takes the next outcome; when the script is used up, it is admitted.

    While `gate` is not set, submissions wait: as they do while a file is made durable.
    """

    def __init__(self, *script: FerryError, bytes_max: int = 10_000) -> None:
        self.script = deque(script)
        self.bytes_max = bytes_max
        self.submissions: list[Submission] = []
        self.failures: list[tuple[str, str, str]] = []
        self.submitted = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def message_bytes_max(self, channel: str) -> int:
        return self.bytes_max if channel == "adt" else 0

    async def submit(self, submission: Submission) -> Receipt:
        self.submissions.append(submission)
        self.submitted.set()
        outcome = self.script.popleft() if self.script else None
        await self.gate.wait()
        if outcome is not None:
            raise outcome
        return Receipt(len(self.submissions).to_bytes(16, "big"), duplicate=False)

    async def submit_in_order(
        self, submissions: Sequence[Submission]
    ) -> list[Receipt | FerryError]:
        outcomes: list[Receipt | FerryError] = []
        for submission in submissions:
            try:
                outcomes.append(await self.submit(submission))
            except FerryError as failure:
                outcomes.append(failure)
        return outcomes

    def note_failure(self, channel: str, sender: str, failure: FerryError) -> None:
        self.failures.append((channel, sender, failure.reason.code))
