import json
import os
import stat
import threading

import pytest

from ferry_format.reasons import StorageFault
from inner_agent import stream_orders
from inner_agent.stream_orders import Answer, Order

ORDER = Order("accept_stream", b"s" * 16, "wang")


@pytest.fixture
def folder(tmp_path):
    return stream_orders.make_folder(tmp_path)


def test_an_order_is_executed_once_and_its_answer_fetched(folder):
    name = stream_orders.submit(folder, ORDER)
    assert list(stream_orders.pending(folder)) == [(name, ORDER)]
    stream_orders.answer(folder, name, Answer(done=True, detail="accepted"))
    assert list(stream_orders.pending(folder)) == []
    assert stream_orders.wait_for_answer(folder, name, 1) == Answer(done=True, detail="accepted")
    assert list(folder.iterdir()) == []


def test_orders_come_in_the_order_in_which_they_were_given(folder, monkeypatch):
    names = []
    for at_ms in (5, 3, 4):
        monkeypatch.setattr("time.time_ns", lambda at_ms=at_ms: at_ms * 1_000_000)
        names.append(stream_orders.submit(folder, ORDER))
    assert [name for name, _ in stream_orders.pending(folder)] == sorted(names)


def test_a_command_waits_for_the_answer_and_gives_up_in_time(folder):
    name = stream_orders.submit(folder, ORDER)
    assert stream_orders.wait_for_answer(folder, name, 0.05) is None
    given = Answer(done=False, detail="no")
    timer = threading.Timer(0.1, stream_orders.answer, (folder, name, given))
    timer.start()
    assert stream_orders.wait_for_answer(folder, name, 5) == given
    timer.join()


def test_an_order_that_was_answered_before_a_crash_is_not_executed_again(folder):
    name = stream_orders.submit(folder, ORDER)
    (folder / f"{name}.answer.json").write_text(json.dumps({"done": True, "detail": ""}))
    assert list(stream_orders.pending(folder)) == []
    assert [path.name for path in folder.iterdir()] == [f"{name}.answer.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"order": "drop_all", "stream": "' + "00" * 16 + '", "operator": "x"}',
        '{"order": "accept_stream", "stream": "00", "operator": "x"}',
        '{"order": "accept_stream", "stream": "' + "00" * 16 + '", "operator": ""}',
        '{"order": "accept_stream", "stream": "' + "00" * 16 + '", "operator": "a\\nb"}',
        '{"order": "accept_stream", "stream": 7, "operator": "x"}',
        '{"order": ["accept_stream"], "stream": "' + "00" * 16 + '", "operator": "x"}',
        " " * 5000,
    ],
)
def test_what_is_no_order_is_told_apart(folder, text):
    (folder / "1.order.json").write_text(text)
    assert list(stream_orders.pending(folder)) == [("1", None)]


def test_a_link_or_fifo_is_no_order(folder, tmp_path):
    (tmp_path / "secret").write_text("{}")
    (folder / "1.order.json").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "2.order.json")
    assert [order for _, order in stream_orders.pending(folder)] == [None, None]


def test_an_operator_has_a_printable_name(folder):
    for operator in ("", "a\nb", "x" * 65):
        with pytest.raises(ValueError):
            stream_orders.submit(folder, Order("give_up_gap", b"s" * 16, operator))


def test_answers_that_nobody_fetches_are_cleared_in_time(folder):
    name = stream_orders.submit(folder, ORDER)
    stream_orders.answer(folder, name, Answer(done=True, detail=""))
    written_s = (folder / f"{name}.answer.json").stat().st_mtime
    stream_orders.clear(folder, written_s + 3000)
    assert len(list(folder.iterdir())) == 1
    stream_orders.clear(folder, written_s + 4000)
    assert list(folder.iterdir()) == []


def test_the_folder_is_for_owner_and_group_and_nothing_else_will_do(tmp_path):
    folder = stream_orders.make_folder(tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o770
    assert stream_orders.make_folder(tmp_path) == folder
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageFault):
        stream_orders.make_folder(tmp_path)
