"""Real models behind the hub: what the model gives comes out, in whatever batches, and what is refused is said."""

import asyncio
import os
import shutil
import signal
import threading
import time

import numpy as np
import pytest

import tftrt_yolo
from tests.serving.clients import PICTURES, encoded, processes, same, started, until
from tftrt_yolo.ground.errors import SavedModelError, ServingError
from tftrt_yolo.ground.files.image_files import read_image
from tftrt_yolo.selection import SelectionOptions
from tftrt_yolo.serving.scheduling import health
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import Inference
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.serving.serving_options import BatchingOptions, ModelOptions

ONE = BatchingOptions(max_batch_size=8, max_delay_ms=5, request_timeout_s=20)


def run(scenario):
    """Runs a coroutine in a loop of its own, with a limit."""
    return asyncio.run(asyncio.wait_for(scenario, 300))


async def refused(hub, inference, kind, match):
    """A request that must be refused."""
    with pytest.raises(RefusedError, match=match) as info:
        await hub.infer(inference)
    assert info.value.refusal is kind
    return info.value


def test_requests_share_batches_and_every_one_gets_its_own(tiny_export):
    predictor = tftrt_yolo.Predictor(tiny_export)

    async def scenario():
        async with started(ModelOptions(saved_model_dir=tiny_export), ONE) as hub:
            files = [*PICTURES[:7], b"junk", *PICTURES[7:12], b""]
            found = await asyncio.gather(*(hub.infer(encoded("tiny", [file])) for file in files))
            assert max(hub.told.batches) > 1
            assert sum(hub.told.batches) == len(files)
            assert max(hub.told.batches) <= 8
            for file, outcome in zip(files, found, strict=True):
                assert outcome.outputs["num_detections"].shape == (1,)
                if len(file) < 10:
                    assert outcome.outputs["status"][0].startswith(b"it is ")
                    assert not outcome.outputs["scores"].any()
                    continue
                [expected] = predictor(file)
                count = int(outcome.outputs["num_detections"][0])
                assert outcome.outputs["status"].tolist() == [b""]
                assert count == len(expected)
                np.testing.assert_allclose(outcome.outputs["boxes"][0, :count], expected.xyxy, atol=0.5)
                assert outcome.outputs["classes"][0, :count].tolist() == expected.class_id.tolist()
            # each kind of input alone, and selections
            image = read_image(files[0])
            sizes = np.array([image.shape[:2]], np.int32)
            wanted = {"score_threshold": 0.6, "classes": [1, 2, 3], "max_detections": 5}
            for key, inputs in (
                ("encoded", {"image_bytes": np.array([files[0]], object)}),
                ("serving_default", {"images": image[np.newaxis]}),
                ("padded", {"images": image[np.newaxis], "sizes": sizes}),
            ):
                for selection in (None, SelectionOptions(**wanted)):
                    inference = Inference("tiny", key, inputs, time.monotonic() + 20, selection=selection)
                    outcome = await hub.infer(inference)
                    [expected] = predictor(image, **wanted) if selection else predictor(image)
                    count = int(outcome.outputs["num_detections"][0])
                    assert count == len(expected)
                    assert outcome.outputs["boxes"].shape == (1, 5 if selection else 300, 4)
                    np.testing.assert_allclose(outcome.outputs["scores"][0, :count], expected.confidence, atol=0.02)
            frames = np.zeros((2, 320, 320, 3), np.float32)
            dense = await hub.infer(Inference("tiny", "network", {"frames": frames}, time.monotonic() + 20))
            assert dense.outputs["boxes"].shape[::2] == (2, 4)
            # no picture at all
            empty = await hub.infer(encoded("tiny", []))
            assert {len(value) for value in empty.outputs.values()} == {0}
            assert await hub.is_ready()
            assert await hub.is_ready("tiny", 1)
            assert not await hub.is_ready("other")
            assert all(outcome is not None for _, outcome, _ in hub.told.finishes)
            await stops(hub)
        assert not [thread for thread in threading.enumerate() if thread.name == "model"]

    run(scenario())


async def stops(hub):
    """Stopping finishes what was accepted and refuses the rest."""
    accepted = [asyncio.ensure_future(hub.infer(encoded("tiny", [file]))) for file in PICTURES[:20]]
    await asyncio.sleep(0)
    pids = processes(hub)
    stopping = asyncio.ensure_future(hub.stop())
    await asyncio.sleep(0)
    error = await refused(hub, encoded("tiny", PICTURES[:1]), Refusal.UNAVAILABLE, "The server ends")
    assert error.retry_after_seconds == 1
    assert not await hub.is_ready()
    found = await asyncio.gather(*accepted)
    assert all(outcome.outputs["status"].tolist() == [b""] for outcome in found)
    await stopping
    await hub.stop()
    assert hub.models() == ()
    assert pids
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


BAD = [
    ({}, "got no input. Expected the input 'image_bytes', and no other"),
    ({"image": np.array([b""], object)}, "got the input 'image'. Expected the input 'image_bytes'"),
    ({"image_bytes": np.zeros((1, 3), np.uint8)}, "'image_bytes' is uint8. Expected strings of the shape"),
    ({"image_bytes": np.array([[b""]], object)}, r"has the shape \[1, 1\]. Expected strings of the shape \[-1\]"),
    ({"image_bytes": np.array(["text"], object)}, "has 'text' in it. Expected strings of bytes"),
    ({"image_bytes": [b""]}, "is no array but a list"),
    ({"image_bytes": np.array([b""] * 9, object)}, "has 9 pictures. Expected at most 8"),
    ({"images": np.zeros((1, 8, 8, 3), np.float32)}, "'images' is float32. Expected uint8"),
    (
        {"images": np.zeros((8, 8, 3), np.uint8)},
        r"the shape \[8, 8, 3\]. Expected uint8 of the shape \[-1, -1, -1, 3\]",
    ),
    ({"images": np.zeros((1, 8, 8, 4), np.uint8)}, r"has the shape \[1, 8, 8, 4\]"),
    ({"images": np.zeros((1, 0, 8, 3), np.uint8)}, "8 pixels wide and 0 high. Expected sides of 1"),
    ({"images": np.zeros((1, 1001, 1000, 3), np.uint8)}, "images of 1,001,000 pixels. Expected at most 1,000,000"),
    ({"images": np.zeros((2, 8, 8, 3), np.uint8), "sizes": np.ones((1, 2), np.int32)}, "other lengths of axis 0"),
    ({"images": np.zeros((1, 8, 8, 3), np.uint8), "sizes": np.array([[9, 8]], np.int32)}, r"has \[9, 8\] in row 0"),
    ({"images": np.zeros((1, 8, 8, 3), np.uint8), "sizes": np.array([[0, 8]], np.int32)}, r"has \[0, 8\] in row 0"),
    ({"images": np.zeros((1, 8, 8, 3), np.uint8), "sizes": np.ones((1, 2), np.int64)}, "'sizes' is int64"),
    ({"frames": np.zeros((1, 8, 8, 3), np.float32)}, r"has the shape \[1, 8, 8, 3\]. Expected float32 of the"),
    ({"frames": np.zeros((1, 320, 320, 3), np.float64)}, "'frames' is float64"),
]
KEYS = {("images",): "serving_default", ("images", "sizes"): "padded", ("frames",): "network"}


def png_of(width, height):
    """A PNG that says so and has no pixels: its header, and the beginning of its first data."""
    import struct
    import zlib

    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">II", zlib.crc32(body), 999) + b"IDAT"


def test_what_is_refused_and_what_is_over(tiny_export, monkeypatch):
    monkeypatch.setattr(health, "_FRESH_SECONDS", 0.2)
    monkeypatch.setattr(health, "_LEAST_SECONDS", 1.0)
    batching = BatchingOptions(max_batch_size=8, max_delay_ms=0, queue_size=8, request_timeout_s=20)

    async def scenario():
        models = ModelOptions(saved_model_dir=tiny_export)
        async with started(models, batching, max_pixels=1_000_000) as hub:
            later = time.monotonic() + 20
            for inputs, match in BAD:
                key = KEYS.get(tuple(sorted(inputs)), "encoded")
                await refused(hub, Inference("tiny", key, inputs, later), Refusal.INVALID_ARGUMENT, match)
            await refused(
                hub, Inference("tiny", "other", {}, later), Refusal.INVALID_ARGUMENT, "has no signature 'other'"
            )
            await refused(hub, encoded("dog", PICTURES[:1]), Refusal.NOT_FOUND, "no model 'dog'; known are tiny")
            await refused(
                hub, encoded("tiny", PICTURES[:1], version=2), Refusal.NOT_FOUND, "no version 2 of .*known are 1"
            )
            await refused(hub, encoded("tiny", PICTURES[:1], seconds=-1), Refusal.DEADLINE_EXCEEDED, "time was over")
            unknown = SelectionOptions(classes=["dog"])
            await refused(hub, encoded("tiny", PICTURES[:1], selection=unknown), Refusal.INVALID_ARGUMENT, "has 'dog'")
            asked = SelectionOptions(score_threshold=0.5)
            frames = {"frames": np.zeros((1, 320, 320, 3), np.float32)}
            dense = Inference("tiny", "network", frames, later, selection=asked)
            await refused(hub, dense, Refusal.INVALID_ARGUMENT, "score_threshold is for signatures that select")
            assert not hub.told.batches
            # one picture that is too large, before it is decoded, among others
            found = await hub.infer(encoded("tiny", [PICTURES[0], png_of(60_000, 1_000), PICTURES[1], png_of(9, 9)]))
            assert found.outputs["status"].tolist()[:3] == [
                b"",
                b"it has 60,000,000 pixels; at most 1,000,000 are taken: scale it down first",
                b"",
            ]
            assert found.outputs["status"][3].startswith(b"it cannot be decoded")
            assert (found.outputs["num_detections"] > 0).tolist() == [True, False, True, False]
            # a hung process: a full queue, deadlines that pass, clients that go, health
            [pid] = processes(hub)
            await asyncio.sleep(0.3)  # until what was answered last proves nothing any more
            os.kill(pid, signal.SIGSTOP)
            try:
                running = asyncio.ensure_future(hub.infer(encoded("tiny", PICTURES[:8])))
                await until(lambda: hub._runners.busy)
                short = asyncio.ensure_future(hub.infer(encoded("tiny", PICTURES[:4], seconds=0.3)))
                gone = asyncio.ensure_future(hub.infer(encoded("tiny", PICTURES[:4])))
                await asyncio.sleep(0.1)
                error = await refused(
                    hub, encoded("tiny", PICTURES[:1]), Refusal.UNAVAILABLE, "8 pictures wait .* than 8"
                )
                assert 1 <= error.retry_after_seconds <= 60
                gone.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await gone
                with pytest.raises(RefusedError, match=r"time was over after 0\.3.* while it was waiting") as info:
                    await short
                assert info.value.refusal is Refusal.DEADLINE_EXCEEDED
                waits = asyncio.ensure_future(hub.infer(encoded("tiny", PICTURES[:8])))
                assert not await hub.is_ready()
            finally:
                os.kill(pid, signal.SIGCONT)
            batches = len(hub.told.batches)
            assert (await running).batch_size == (await waits).batch_size == 8
            assert await hub.is_ready()
            await until(lambda: len(hub.told.batches) >= batches + 2)
            assert sum(hub.told.batches[batches:]) <= 8 + 8 + 1  # what was over or gone was never computed
            assert (None, None) in [finish[1:] for finish in hub.told.finishes]

    run(scenario())


def computing(hub):
    return any(runner.busy_since and not runner.is_loading for runner in hub._runners.busy)


def test_a_process_that_is_killed_or_hangs_loses_no_request(tiny_export, monkeypatch):
    monkeypatch.setattr("tftrt_yolo.serving.scheduling.hub._HUNG_SECONDS", 0.5)
    batching = BatchingOptions(max_batch_size=8, max_delay_ms=5, request_timeout_s=4)

    async def scenario():
        async with started(ModelOptions(saved_model_dir=tiny_export), batching) as hub:
            expected = [(await hub.infer(encoded("tiny", [file]))).outputs for file in PICTURES[:6]]
            kills = [processes(hub)[0]]
            load = [asyncio.ensure_future(hub.infer(encoded("tiny", [PICTURES[i % 6]]))) for i in range(48)]
            await until(lambda: len(hub.told.batches) > 7)
            os.kill(kills[0], signal.SIGKILL)
            found = await asyncio.gather(*load)
            assert all(same(outcome.outputs, expected[i % 6]) for i, outcome in enumerate(found))
            assert ["SIGKILL" in reason for reason in hub.told.ends] == [True]
            assert await hub.is_ready()
            assert processes(hub) != kills
            assert len([1 for _, outcome, _ in hub.told.finishes if outcome]) == 54
            # a request whose own run ends the process, again
            doomed = asyncio.ensure_future(hub.infer(encoded("tiny", PICTURES[:8])))
            for number in (signal.SIGSTOP, signal.SIGKILL):  # the first is ended when it has not answered for long
                await until(lambda: computing(hub) and processes(hub) and processes(hub)[-1] not in kills)
                kills.append(processes(hub)[-1])
                os.kill(kills[-1], number)
            with pytest.raises(RefusedError, match="process ended over this request, twice") as info:
                await doomed
            assert info.value.refusal is Refusal.INTERNAL
            assert (await hub.infer(encoded("tiny", PICTURES[:1]))).outputs["status"].tolist() == [b""]

    run(scenario())


def place(repository, name, version, source):
    """Puts a version into a repository as a copy that comes whole."""
    partial = repository / name / f".partial-{version}"
    shutil.copytree(source, partial)
    partial.rename(repository / name / str(version))


def test_versions_come_and_go_without_a_lost_request(tiny_export, tmp_path):
    repository = tmp_path / "models"
    (repository / "digits").mkdir(parents=True)
    (repository / "a name").mkdir()
    (repository / "digits" / "newest").mkdir()
    place(repository, "digits", 1, tiny_export)
    broken = repository / "digits" / "2"
    shutil.copytree(tiny_export, broken)
    pb = (broken / "saved_model.pb").read_bytes()
    (broken / "saved_model.pb").write_bytes(pb[:-100])
    models = ModelOptions(model_repository=repository, poll_seconds=0.1)

    async def scenario():
        async with started(models, ONE) as hub:
            # a version that is broken stays out, with its reason, and the older one serves
            assert [(state.version, state.state) for state in hub.models()] == [(1, "READY"), (2, "UNAVAILABLE")]
            assert "saved_model.pb is not as it was written" in hub.models()[-1].reason
            with pytest.raises(RefusedError, match="Version 2 of the model 'digits' is unavailable"):
                hub.model("digits", 2)
            await refused(
                hub, encoded("digits", PICTURES[:1], version=2), Refusal.UNAVAILABLE, r"2 .* unavailable\. Try"
            )
            assert await hub.is_ready()
            known = (await hub.infer(encoded("digits", PICTURES[:1]))).outputs
            versions, is_over = [], False

            async def load():
                while not is_over:
                    outcome = await hub.infer(encoded("digits", PICTURES[:1]))
                    assert same(outcome.outputs, known)
                    versions.append(outcome.version)

            clients = [asyncio.ensure_future(load()) for _ in range(3)]
            (broken / "saved_model.pb").write_bytes(pb)
            await until(lambda: [(s.version, s.state) for s in hub.models()] == [(2, "READY")])
            await until(lambda: versions[-1] == 2)
            assert versions == sorted(versions)
            # the only one that is left goes
            is_over = True
            await asyncio.gather(*clients)
            shutil.rmtree(repository / "digits")
            await until(lambda: not hub.models(), 60)
            await refused(hub, encoded("digits", PICTURES[:1]), Refusal.NOT_FOUND, "known are none")
            assert not await hub.is_ready()

    run(scenario())


def start_fails(models, kind, match):
    async def scenario():
        hub = Hub(models, BatchingOptions())
        with pytest.raises(kind, match=match):
            await hub.start()
        await hub.stop()

    run(scenario())


def test_what_cannot_be_started_says_why(tmp_path, tiny_export):
    start_fails(ModelOptions(saved_model_dir=tmp_path / "none"), SavedModelError, "none is no directory. Expected")
    start_fails(ModelOptions(model_repository=tmp_path / "none"), ServingError, "cannot be read: No such.*NAME/")
    (tmp_path / "empty").mkdir()
    start_fails(ModelOptions(model_repository=tmp_path / "empty"), ServingError, "holds no model. Expected folders")
    (tmp_path / "models" / "digits" / "1").mkdir(parents=True)
    start_fails(ModelOptions(model_repository=tmp_path / "models"), SavedModelError, "has no saved_model.pb")
    with pytest.raises(ValueError, match="Neither saved_model_dir nor model_repository was given"):
        Hub(ModelOptions(), BatchingOptions())
