"""Whether a scanner can see the files of a channel that asks for one."""

from __future__ import annotations

from ferry_runtime.problem_words import Mistake
from validators.policy import ContentPolicy


def check_scannable(content: ContentPolicy) -> None:
    """Pass content whose files cross in one run of digits each. Raises Mistake."""
    if content.files_stay_as_spelt:
        raise Mistake(
            'has virus_scan beside fidelity = "verbatim" and files: one that its sender spelt in '
            "pieces would not be seen",
            "Name no files in content, or drop fidelity.",
        )
