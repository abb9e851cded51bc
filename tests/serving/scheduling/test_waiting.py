"""What waits: who shares a batch, who comes first, and what is bounded."""

import threading
import time

import numpy as np
import pytest

from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling.inference import Inference
from tftrt_yolo.serving.scheduling.request import Request
from tftrt_yolo.serving.scheduling.waiting import FullError, Waiting
from tftrt_yolo.serving.serving_options import BatchingOptions


def request(size=1, side=8, *, seconds=60.0, **options):
    images = np.zeros((size, side, side, 3), np.uint8)
    return Request(
        Inference("digits", "serving_default", {"images": images}, time.monotonic() + seconds, **options), None
    )


def waiting(**options):
    return Waiting(BatchingOptions(**{"max_batch_size": 4, "max_delay_ms": 0, "queue_size": 8} | options))


def test_requests_of_one_key_share_a_batch_and_the_oldest_says_which():
    queue = waiting()
    chosen = SelectionOptions(score_threshold=0.5)
    first, other, asked, joins, again = request(), request(side=9), request(selection=chosen), request(2), request(2)
    same = request(selection=SelectionOptions(score_threshold=0.5))
    for one in (first, other, asked, joins, again, same):
        queue.put(one)
    assert queue.pictures == 8
    assert [queue.take() for _ in range(4)] == [[first, joins], [other], [asked, same], [again]]
    assert (queue.pictures, queue.is_empty) == (0, True)


def test_what_does_not_fit_waits_and_nothing_overtakes_it():
    queue = waiting()
    first, large, small = request(2), request(3), request(1)
    for one in (first, large, small):
        queue.put(one)
    assert [queue.take(), queue.take()] == [[first], [large, small]]


def test_the_queue_is_bounded_and_what_goes_makes_room():
    queue = waiting()
    given = [request(4), request(4)]
    for one in given:
        queue.put(one)
    with pytest.raises(FullError):
        queue.put(request())
    queue.discard(given[1])
    queue.discard(given[1])  # again does no harm
    queue.put(request(4))
    with pytest.raises(FullError):
        queue.put(request(0))  # no picture at all takes a place too
    assert queue.pictures == 8


def test_bytes_are_bounded_too(monkeypatch):
    monkeypatch.setattr("tftrt_yolo.serving.scheduling.waiting._MOST_WAITING_BYTES", 1_000)
    queue = waiting()
    queue.put(request(side=100))  # alone it may wait
    with pytest.raises(FullError):
        queue.put(request())
    monkeypatch.setattr("tftrt_yolo.serving.scheduling.waiting._MOST_WAITING_BYTES", 1 << 30)
    monkeypatch.setattr("tftrt_yolo.serving.scheduling.waiting._MOST_BATCH_BYTES", 50_000)
    queue.put(request(side=100))
    assert [len(queue.take()), len(queue.take())] == [1, 1]


def test_what_is_over_is_never_taken():
    queue = waiting()
    late, gone, wanted = request(seconds=-1), request(), request()
    gone.is_over = True
    for one in (late, gone, wanted):
        queue.put(one)
    assert queue.take() == [wanted]
    assert queue.is_empty


def test_what_comes_back_goes_first_and_alone():
    queue = waiting()
    back = [request(), request()]
    queue.put(request())
    queue.put_first(back)
    assert [queue.take(), queue.take()] == [[back[0]], [back[1]]]
    assert all(one.is_alone for one in back)
    queue.put_first([back[0]])
    queue.discard(back[0])
    assert len(queue.take()) == 1
    assert queue.is_empty


def test_the_model_may_take_less_than_was_asked_for():
    queue = waiting()
    queue.limit(2)
    for _ in range(3):
        queue.put(request())
    assert [len(queue.take()), len(queue.take())] == [2, 1]


def test_closing_gives_what_waits_and_then_ends_every_thread():
    queue = waiting(max_delay_ms=60_000)
    taken = []

    def take():
        while (batch := queue.take()) is not None:
            taken.append(batch)

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.put(request())
    queue.put(request())
    queue.close()  # what waited for others to join it waits no more
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert sum(map(len, taken)) == 2
    assert queue.clear() == []


def test_one_client_waits_for_nobody_and_several_wait_for_each_other():
    queue = waiting(max_delay_ms=60_000)
    taken = []
    taker = threading.Thread(target=lambda: taken.append(queue.take()))
    taker.start()
    while not queue._idle:
        time.sleep(0.001)
    queue.put(request())
    taker.join(10)  # and not a minute
    assert [len(batch) for batch in taken] == [1]
    taker = threading.Thread(target=lambda: taken.append(queue.take()))
    for _ in range(3):  # while the model is busy
        queue.put(request())
    taker.start()
    taker.join(0.1)
    assert taker.is_alive()
    queue.put(request())  # the batch is full
    taker.join(10)
    assert [len(batch) for batch in taken] == [1, 4]
