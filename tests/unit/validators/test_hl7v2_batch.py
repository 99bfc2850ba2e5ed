"""Batches taken apart, and answered (HL7 v2.5.1, 2.10.3)."""

from __future__ import annotations

import hl7
import pytest

from ferry_format.reasons import LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused
from tests.simulator.corpora import samples
from tests.simulator.messages import adt
from tests.simulator.processor_time import processor_time_below
from validators.hl7v2.batch import BatchFile, build_batch_answer, is_batch, read_batch_file
from validators.hl7v2.header import read_batch_header

FHS = b"FHS|^~\\&|LAB|NET|HIS|HOSP|20260101||||FILE-1|\r"
BHS = b"BHS|^~\\&|LAB|NET|HIS|HOSP|20260101||||BATCH-1|\r"
ONE, TWO, THREE = adt("1"), adt("2"), adt("3")


def read(payload: bytes, messages_max: int = 100) -> BatchFile:
    return read_batch_file(payload, messages_max)


@pytest.mark.parametrize(
    ("payload", "batches"),
    [
        (BHS + ONE + TWO + b"BTS|2\r", [[ONE, TWO]]),
        (BHS + ONE + b"BTS\r", [[ONE]]),
        (BHS + ONE + b"BTS|1|comment", [[ONE]]),
        (BHS + b"BTS|0\r", [[]]),
        (
            FHS + BHS + ONE + b"BTS|1\r" + BHS + TWO + THREE + b"BTS|2\rFTS|2\r",
            [[ONE], [TWO, THREE]],
        ),
        (FHS + ONE + TWO + b"FTS|1\r", [[ONE, TWO]]),
        (FHS + b"FTS|0\r", []),
        (b"\xef\xbb\xbf" + BHS + ONE + b"BTS|1\r", [[ONE]]),
        (BHS + b"\r\r" + ONE + b"\rBTS|1\r\r\r", [[ONE + b"\r"]]),
        (BHS.replace(b"\r", b"\r\n") + ONE + b"BTS|1\r\n", [[ONE]]),
        (BHS.replace(b"|", b"!") + ONE + b"BTS!1\r", [[ONE]]),
    ],
)
def test_messages_come_out_as_they_came_in(payload, batches) -> None:
    assert is_batch(payload)
    assert [list(batch.messages) for batch in read(payload).batches] == batches


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        (BHS + ONE, "no BTS"),
        (ONE, "no FHS or BHS"),
        (b"", "no FHS or BHS"),
        (b"\r" + BHS + ONE + b"BTS|1\r", "no FHS or BHS"),
        (FHS + BHS + ONE + b"BTS|1\r", "no FTS"),
        (FHS + BHS + ONE + b"FTS|1\r", "FTS without FHS, or within"),
        (FHS, "no FTS"),
        (BHS + ONE + b"BTS|2\r", "BTS-1"),
        (BHS + ONE + b"BTS|-1\r", "BTS-1"),
        (BHS + ONE + b"BTS|1x\r", "BTS-1"),
        (BHS + ONE + b"BTS|\xef\xbc\x91\r", "BTS-1"),
        (BHS + ONE + b"BTSX1\r", "BTS-1"),
        (FHS + BHS + ONE + b"BTS|1\rFTS|2\r", "FTS-1"),
        (BHS + ONE + BHS + TWO + b"BTS|1\r", "BHS within"),
        (BHS + ONE + b"BTS|1\r" + TWO, "a message outside"),
        (FHS + BHS + ONE + b"BTS|1\r" + TWO + b"FTS|2\r", "a message outside"),
        (
            FHS + BHS + ONE + b"BTS|1\rFTS|1\r" + BHS + TWO + b"BTS\r",
            "BHS within a batch, or after",
        ),
        (FHS + FHS + ONE + b"FTS\r", "FHS is not"),
        (BHS + ONE + b"BTS\r" + FHS + TWO + b"FTS\r", "FHS is not"),
        (FHS + ONE + b"BTS\rFTS\r", "BTS without"),
        (BHS + ONE + b"BTS|1\rFTS|1\r", "FTS without"),
        (BHS + b"ZZZ|hidden\r" + ONE + b"BTS|1\r", "after BHS"),
        (BHS + ONE + b"BTS|1\rtrailing", "after BTS"),
        (b"BHS|^^^^|\r" + ONE + b"BTS|1\r", "BHS-1"),
        (b"FHS\r" + ONE + b"FTS|1\r", "FHS-1"),
    ],
)
def test_what_was_cut_off_or_patched_together_is_refused_whole(payload, place) -> None:
    with pytest.raises(Refused) as refused:
        read(payload)
    assert refused.value.reason is NOT_WELL_FORMED
    assert place in refused.value.where


@pytest.mark.parametrize(
    ("payload", "batches"),
    [
        (BHS + ONE, [1]),
        (FHS + BHS + ONE + BHS + TWO + THREE, [1, 2]),
        (FHS + BHS + ONE + b"BTS|1\r", [1]),
        (FHS + BHS + ONE + b"FTS|1\r", [1]),
        (FHS + ONE + TWO, [2]),
        (FHS, []),
    ],
)
def test_trailers_may_lack_where_the_channel_says_so(payload: bytes, batches) -> None:
    file = read_batch_file(payload, 100, needs_trailers=False)
    assert [len(batch.messages) for batch in file.batches] == batches


@pytest.mark.parametrize(
    "payload",
    [
        BHS + ONE + b"BTS|2\r",
        FHS + BHS + ONE + BHS + TWO + b"FTS|1\r",
        FHS + ONE + BHS + TWO,
        BHS + ONE + b"BTS|1\r" + TWO,
        BHS + ONE + b"FTS|1\r",
    ],
)
def test_what_trailers_say_is_true_all_the_same(payload: bytes) -> None:
    with pytest.raises(Refused):
        read_batch_file(payload, 100, needs_trailers=False)


def test_batches_of_the_corpora_are_read_as_another_parser_reads_them() -> None:
    seen = 0
    for sample in samples("hl7v2"):
        data = sample.read()
        if sample.kind != "valid" or not is_batch(data):
            continue
        text = data.decode("latin-1").replace("\r\n", "\r").replace("\n", "\r")
        try:
            theirs = hl7.parse_file(text) if text.startswith("FHS") else [hl7.parse_batch(text)]
            ours = read_batch_file(data, 1000, needs_trailers=False)
        except (hl7.ParseException, Refused):
            continue
        seen += 1
        counts = [sum(isinstance(each, hl7.Message) for each in batch) for batch in theirs]
        assert [len(batch.messages) for batch in ours.batches] == counts, sample.name
    assert seen >= 8


def test_the_number_of_messages_is_bounded() -> None:
    assert len(read(BHS + ONE + TWO + b"BTS\r", 2).batches[0].messages) == 2
    with pytest.raises(Refused) as refused:
        read(BHS + ONE + TWO + b"BTS\r", 1)
    assert refused.value.reason is LIMIT_EXCEEDED


def test_a_batch_of_many_short_lines_is_read_in_time_that_grows_with_its_size() -> None:
    with processor_time_below(8):
        for line in (b"MSH|\r", b"BTS\r", b"\r", b"x\r", b"MSHMSH"):
            payload = BHS + line * (4_000_000 // len(line))
            with pytest.raises(Refused):
                read(payload)


def test_the_answer_has_the_shape_of_what_it_answers_and_names_its_batches() -> None:
    file = read(FHS + BHS + ONE + b"BTS|1\r" + BHS + TWO + THREE + b"BTS|2\rFTS|2\r")
    answers = [[b"MSH|1\rMSA|AA|1\r"], [b"MSH|2\rMSA|AA|2\r"]]
    lines = build_batch_answer(file, answers, "OWN", 1_767_225_600_000).split(b"\r")
    assert lines == [
        b"FHS|^~\\&|HIS|HOSP|LAB|NET|20260101000000+0000||||OWN|FILE-1",
        b"BHS|^~\\&|HIS|HOSP|LAB|NET|20260101000000+0000||||OWN|BATCH-1",
        b"MSH|1",
        b"MSA|AA|1",
        b"BTS|1",
        b"BHS|^~\\&|HIS|HOSP|LAB|NET|20260101000000+0000||||OWN|BATCH-1",
        b"MSH|2",
        b"MSA|AA|2",
        b"BTS|1",
        b"FTS|2",
        b"",
    ]


def test_headers_are_read_and_answered_in_the_channels_character_set() -> None:
    # The second byte of 億 is that of a field separator; nothing names the character set.
    bhs = "BHS|^~\\&|LAB|億|HIS|HOSP|20260101||||BATCH-1|\r".encode("gb18030")
    file = read_batch_file(bhs + ONE + b"BTS|1\r", 100, "GB18030")
    answer = build_batch_answer(file, [[b"MSH|1\r"]], "OWN", 1_767_225_600_000)
    opening = answer.split(b"\r")[0].decode("gb18030")
    assert opening == "BHS|^~\\&|HIS|HOSP|LAB|億|20260101000000+0000||||OWN|BATCH-1"


def test_an_answer_mirrors_nothing_that_could_end_its_frame() -> None:
    hostile = BHS.replace(b"BATCH-1", b"B\x1c\x0bX").replace(b"LAB", b"\x00")
    answer = build_batch_answer(read(hostile + ONE + b"BTS\r"), [[]], "OWN", 0)
    assert not set(answer) & {0x00, 0x0B, 0x1C}
    assert (
        build_batch_answer(read(FHS + ONE + b"FTS\r"), [[b"MSH|1\r"]], "OWN", 0).count(b"BHS") == 0
    )


def test_only_fhs_and_bhs_are_headers_of_batches() -> None:
    assert read_batch_header(ONE) is None
    assert read_batch_header(b"BTS|1\r") is None
    header = read_batch_header(BHS)
    assert header is not None
    assert (header.control_id, header.sending_application) == ("BATCH-1", "LAB")
