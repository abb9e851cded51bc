import json
import logging
import os
import re
import time

import pytest

from tests.serving.observing.told import outcome_of
from tftrt_yolo.serving.observing.log_writer import LogWriter
from tftrt_yolo.serving.observing.logs import Logs
from tftrt_yolo.serving.observing.request import AskedRequest
from tftrt_yolo.serving.scheduling.inference import ModelState
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def pipe():
    """Reads what was written when all writers are done."""
    reading, writing = os.pipe()
    files = {"reading": reading, "writing": writing}

    def lines():
        os.close(files.pop("writing"))
        with open(files.pop("reading"), encoding="utf-8") as file:
            return file.read().splitlines()

    yield writing, lines
    for descriptor in files.values():
        os.close(descriptor)


def asked(error=None, **changes):
    request = AskedRequest("http", "POST /v2/models/{name}/infer", "127.0.0.1:50312")
    request.names("digits", version=1, request_id="r 1")
    for name, value in changes.items():
        setattr(request, name, value)
    request.end(error)
    return request


def written(pipe, log_format, *requests):
    descriptor, lines = pipe
    logs = Logs(log_format, descriptor)
    for request in requests:
        logs.request(request)
    logs.close()
    return lines()


def test_a_line_of_json_for_each_request(pipe):
    refusal = RefusedError(Refusal.NOT_FOUND, "There is no model 'dog'.")
    done, refused, cut, failed = map(
        json.loads,
        written(
            pipe,
            "json",
            asked(outcome=outcome_of(status=[b"", b"no"]), pictures=2, traceparent=f"00-{'a' * 32}-{'b' * 16}-01"),
            asked(refusal, model="dog"),
            asked(ConnectionResetError()),
            asked(KeyError("secret")),
        ),
    )
    assert re.fullmatch(TIME, done.pop("time"))
    assert 0 <= done.pop("milliseconds") < 1_000
    assert done == {
        "event": "request",
        "level": "info",
        "door": "http",
        "method": "POST /v2/models/{name}/infer",
        "model": "digits",
        "version": "1",
        "status": "ok",
        "pictures": 2,
        "request_id": "r 1",
        "remote": "127.0.0.1:50312",
        "pictures_refused": 1,
        "batch": 4,
        "queue_milliseconds": 10.0,
        "compute_milliseconds": 250.0,
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
    }
    assert (refused["status"], refused["level"], refused["message"]) == ("not_found", "warning", str(refusal))
    assert (cut["status"], cut["level"]) == ("cancelled", "warning")
    assert (failed["status"], failed["level"], failed["message"]) == ("internal", "error", "KeyError")


def test_a_line_of_text_for_each_request(pipe):
    (line,) = written(pipe, "text", asked(outcome=outcome_of(), pictures=2))
    assert re.fullmatch(
        TIME + r' event=request door=http method="POST /v2/models/\{name\}/infer" model=digits version=1 status=ok '
        r'pictures=2 milliseconds=\d+\.\d+ request_id="r 1" remote=127.0.0.1:50312 pictures_refused=0 batch=4 '
        r"queue_milliseconds=10.0 compute_milliseconds=250.0",
        line,
    )


def test_none_is_none(pipe):
    assert written(pipe, "none", asked()) == []


@pytest.mark.parametrize("log_format", ["json", "text"])
@pytest.mark.parametrize("field", ["model", "request_id", "remote", "version", "method"])
def test_what_a_client_says_is_escaped_and_cut(pipe, log_format, field):
    evil = "a\nb\x1b[31m\u202e\ud800" + "c" * 100_000
    (line,) = written(pipe, log_format, asked(**{field: evil}))
    assert len(line) < 1_000
    assert line.isprintable()
    assert "\\n" in line
    assert "\\x1b" in line


def test_changes_of_models_and_lines_of_others(pipe):
    descriptor, lines = pipe
    others = logging.getLogger("uvicorn.error")
    others.setLevel(logging.ERROR)  # a door that was open in this process has left it at CRITICAL
    before = list(logging.getLogger("uvicorn").handlers)
    logs = Logs("json", descriptor)
    logs.state(ModelState("digits", 1, "UNAVAILABLE", "unloaded"))
    logs.process_ended("digits", 1, "killed by signal 9")
    others.error("a client said\n%s", "\x1b[31m")
    try:
        raise ValueError("of a request")
    except ValueError:
        logging.getLogger("tftrt_yolo.serving").exception("A request failed.")
    logs.close()
    state, ended, other, failed = map(json.loads, lines())
    assert (state["event"], state["model"], state["status"], state["message"]) == (
        "model",
        "digits",
        "UNAVAILABLE",
        "unloaded",
    )
    assert (ended["event"], ended["level"], ended["message"]) == ("process_ended", "error", "killed by signal 9")
    assert (other["logger"], other["message"]) == ("uvicorn.error", "a client said\\n\\x1b[31m")
    assert failed["message"].startswith("A request failed.")
    assert "ValueError: of a request" in failed["message"]
    assert logging.getLogger("uvicorn").handlers == before


def test_a_reader_that_does_not_read_holds_nobody_up(pipe):
    descriptor, lines = pipe
    writer = LogWriter(descriptor)
    start = time.monotonic()
    for index in range(30_000):  # a pipe holds 64 KiB, the queue 10,000 lines
        writer.write(f"{index} " + "x" * 100)
    assert time.monotonic() - start < 10
    assert writer.dropped > 10_000
    writer.close()
    assert time.monotonic() - start < 20
    os.set_blocking(descriptor, False)  # the thread that waits is let go by the reader
    found = lines()
    assert found[0].startswith("0 ")


def test_a_reader_that_is_gone_harms_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    writer = LogWriter(writing)
    for _ in range(20_000):
        writer.write("x")
    writer.close()
    os.close(writing)
    assert writer.dropped >= 9_000
