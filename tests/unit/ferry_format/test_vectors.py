"""The package does with every published vector what its manifest says, at the stage it says."""

from __future__ import annotations

import pytest

from ferry_format import reasons
from ferry_format.container import Opener, VerifiedFile, read_untrusted_header
from ferry_format.reasons import Refused
from ferry_format.stream import (
    Ahead,
    Late,
    Link,
    Next,
    Repeated,
    StreamState,
    advance,
    judge,
    skip_to,
)
from tests.simulator.make_vectors import entries_of
from tests.simulator.unlawful_contents import all_of_them
from tests.simulator.vectors import FOLDER, Vector, all_vectors, key, manifest

NOW_MS = manifest()["now_ms"]
STREAM = bytes.fromhex(manifest()["stream"])
VERIFYING = {"trust", "signature"}
DECISIONS = {
    Next: "accept",
    Late: "late",
    Ahead: "wait",
    Repeated: reasons.SEQUENCE_REPLAYED.code,
}
PLACES = {
    "unseal": {"unseal_failed"},
    "content": {"bad_content", "content_limit", "content_not_canonical", "trailing_bytes"},
    "authority": {"channel_not_authorised"},
}


def opener(vector: Vector) -> Opener:
    return Opener(vector.trust_store(), [key(manifest()["receiver_key"])], manifest()["lane"])


def refusal(work) -> str:
    with pytest.raises(Refused) as caught:
        work()
    return caught.value.reason.code


def placed(vector: Vector, verified: VerifiedFile) -> str:
    """Chapter 7, for a receiver that took `received` before."""
    state, links = StreamState(STREAM), {}
    for data in vector.received:
        before = opener(vector).verify(data, NOW_MS)
        if before.header.sequence > state.next_sequence:
            state = skip_to(state, before.header.sequence)
        links[before.header.sequence] = Link(before.digest, before.header.previous_digest)
        state = advance(state, before.digest)
    header = verified.header
    if header.stream_id != STREAM:
        return reasons.UNKNOWN_STREAM.code
    try:
        found = judge(
            state, header.sequence, Link(verified.digest, header.previous_digest), links.get
        )
    except Refused as refused:
        return refused.reason.code
    return DECISIONS[type(found)]


@pytest.mark.parametrize("vector", all_vectors(), ids=lambda vector: vector.name)
def test_each_vector_ends_where_its_manifest_says(vector: Vector) -> None:
    if vector.stage == "frame":
        assert refusal(lambda: read_untrusted_header(vector.data)) == vector.reason
        return
    read_untrusted_header(vector.data)
    if vector.stage in VERIFYING:
        assert refusal(lambda: opener(vector).verify(vector.data, NOW_MS)) == vector.reason
        return
    verified = opener(vector).verify(vector.data, NOW_MS)
    if vector.stage in PLACES:
        code = refusal(lambda: opener(vector).unseal(verified))
        assert code == vector.reason
        assert code in PLACES[vector.stage]
        return
    content = opener(vector).unseal(verified)
    if vector.stage == "stream":
        assert placed(vector, verified) == vector.reason
    elif vector.stage == "medium":
        assert verified.header.sequence != vector.row["name_sequence"]
    else:
        assert vector.stage is None
        assert placed(vector, verified) == vector.decision
        assert verified.header.sequence == vector.row["sequence"]
        assert entries_of(content) == vector.row["entries"]


def test_every_reason_of_the_specification_has_a_vector() -> None:
    source = (FOLDER.parent / "SPEC.md").read_text()
    upto_the_medium = source[source.index("## 4. The frame") : source.index("## 8. The medium")]
    named = {code for code in reasons.BY_CODE if f"`{code}`" in upto_the_medium}
    assert len(named) > 20
    # What one file shows; an object is broken between several (test_object_table.py).
    assert named - {vector.reason for vector in all_vectors()} == {"object_broken"}


def test_every_decision_of_the_stream_has_a_vector() -> None:
    decided = {vector.decision for vector in all_vectors() if vector.stage is None}
    assert decided | {reasons.SEQUENCE_REPLAYED.code} == set(DECISIONS.values())


def test_every_content_that_is_thought_of_is_published() -> None:
    published = {vector.name for vector in all_vectors() if vector.stage == "content"}
    assert published == {f"content-{name}" for name, *_ in all_of_them()}


def test_every_file_is_in_the_manifest_and_every_key_is_marked_as_published() -> None:
    files = {path.name for path in FOLDER.glob("*.ferry")}
    assert files == {vector.row["file"] for vector in all_vectors()} - {None}
    for path in [*FOLDER.glob("*.key"), *FOLDER.glob("*.pub")]:
        assert "PUBLISHED TEST KEY" in path.read_text()
