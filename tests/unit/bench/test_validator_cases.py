from __future__ import annotations

import pytest

from bench.validators import CASES, Case
from validators.profiles import load
from validators.verdict import Accepted


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
def test_what_is_measured_is_a_message_that_crosses_and_the_large_one_is_large(case: Case) -> None:
    profile = load(case.profile)
    small = profile.accepted[case.sample]
    large = case.grown(small)
    assert len(large) > 4 * len(small)
    for payload in (small, large):
        assert isinstance(profile.validator().validate(case.as_asked(payload)), Accepted)
