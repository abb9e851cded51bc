"""Measures what a video costs beside its network: reading, drawing, encoding and sound, and writes video.md.

    python benchmarks/video.py ~/exports            # exports are kept there, and taken from there the next time
    python benchmarks/video.py ~/exports 10         # 10 seconds of video in place of 60

A film of 1080p at 30 frames a second is made of the digits' pictures. Each way runs in processes of its own, and the
ways take turns. Network: frames that were decoded before, a second of them again and again, through
`Predictor.with_images` in batches of 8. Ultralytics' own way runs where torchvision works: with the interpreter that
ULTRALYTICS_PYTHON names, or this one.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).parent / "video.md"
SIZE, RATE, SECONDS, BATCH = (1_920, 1_080), 30, 60, 8
WAYS = ("network", "network and decoding", "predict, no pictures", "predict", "ultralytics, save=True")
ROUNDS = 1
HEADER = """# Videos

What `python benchmarks/video.py` wrote, on two cores without a GPU, beside other work (load average {load}):
{seconds} s of 1080p, {frames} frames of H.264 with AAC sound, yolov8n at 640 px with random weights, batches of
{batch}. These find nothing, so drawing is little more than a copy of the picture.
Rounds: {rounds}, each way in a process of its own, in turns; the row is of the run that took least processor time.
*network* is the model alone on frames that were decoded before. Processor time is of all threads, a frame; on a machine
that others use it tells more than wall time. *grows* is by how much the process's largest memory was more at the end
than after a tenth of the frames.{missing}

"""
COLUMNS = ("way", "frames/s", "wall to network", "processor ms a frame", "processor to network", "grows MB")


def film(path: Path, seconds: int) -> None:
    """Makes the video: a picture that moves, with a tone."""
    import av
    import PIL.Image

    pictures = sorted((ROOT / "tests" / "data" / "images").glob("*.jpg"))
    tiles = [np.asarray(PIL.Image.open(name).convert("RGB").resize((480, 360))) for name in pictures[:12]]
    wall = np.concatenate([np.concatenate(tiles[row * 4 : row * 4 + 4], axis=1) for row in range(3)], axis=0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        for number in range(seconds * RATE):
            picture = np.roll(wall, (number % 97, 3 * number % 960), (0, 1))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
        wave = np.sin(np.arange(1_024) * 2 * np.pi * 440 / 48_000).astype(np.float32)[np.newaxis]
        for number in range(seconds * 48_000 // 1_024):
            frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 48_000, number * 1_024, Fraction(1, 48_000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


class Meter:
    """Measures from the first frames on, so that loading the model is no part of it."""

    def __init__(self, frames: int):
        self._frames, self._first, self._early = frames, 0, 0

    def tick(self, done: int, _: object = None) -> None:
        """Begins with the first batch, and notes the memory once a tenth is done."""
        if not self._first and done >= BATCH:
            self._first, self._wall, self._processor = done, time.perf_counter(), time.process_time()
        if done >= self._frames // 10 and not self._early:
            self._early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def result(self, frames: int) -> dict:
        """The figures."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        late = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        counts = {"frames": frames - self._first, "grows": (late - self._early) / 1_024}
        return {"wall": wall, "processor": processor} | counts


def run(way: str, exported: Path, video: Path, frames: int) -> dict:
    """Runs one way in this process."""
    if way.startswith("ultralytics"):
        return run_ultralytics(video, frames)
    import tftrt_yolo

    with tempfile.TemporaryDirectory() as folder:
        if way.startswith("predict"):
            output = tftrt_yolo.OutputOptions(output_dir=Path(folder) / "out", pictures=way == "predict")
            meter = Meter(frames)
            report = tftrt_yolo.predict(exported, video, output, batch_size=BATCH, on_progress=meter.tick)
            return meter.result(report.num_frames)
        source, predictor = str(video), tftrt_yolo.Predictor(exported)
        if way == "network":
            second = [image for _, image, _ in zip_first(predictor.with_images(source), RATE)]
            source = (second[number % RATE] for number in range(frames))
        meter, done = Meter(frames), 0
        for done, _ in enumerate(predictor.with_images(source, batch_size=BATCH), start=1):
            meter.tick(done)
        return meter.result(done)


def zip_first(results, count: int) -> list:
    """The first results; the rest is not computed."""
    return [found for _, found in zip(range(count), results, strict=False)]


def run_ultralytics(video: Path, frames: int) -> dict:
    """Ultralytics' own, in PyTorch, which draws and encodes in the same thread."""
    from ultralytics import YOLO

    with tempfile.TemporaryDirectory() as folder:
        model, meter, done = YOLO("yolov8n.yaml"), Meter(frames), 0
        results = model.predict(str(video), save=True, project=folder, stream=True, verbose=False, imgsz=640)
        for done, _ in enumerate(results, start=1):
            meter.tick(done)
        return meter.result(done)


def main(exports_dir: Path, seconds: int) -> None:
    """Measures every way and writes the table."""
    import tftrt_yolo

    exports_dir.mkdir(parents=True, exist_ok=True)
    exported = exports_dir / "yolov8n_saved_model"
    if not exported.exists():
        tftrt_yolo.export("yolov8n.yaml", exported)
    with tempfile.TemporaryDirectory() as folder:
        video, frames, found, absent = Path(folder) / "film.mp4", seconds * RATE, {}, {}
        film(video, seconds)
        for way in [*WAYS] * ROUNDS:
            python = os.environ.get("ULTRALYTICS_PYTHON") if way.startswith("ultralytics") else None
            command = [python or sys.executable, __file__, way, exported, video, frames]
            done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
            if done.returncode:
                absent[way] = done.stderr.strip().splitlines()[-1]
                sys.stderr.write(f"{way} does not run here: {done.stderr.strip().splitlines()[-1:]}\n")
                continue
            figures = json.loads(done.stdout.splitlines()[-1])
            sys.stderr.write(f"{way} {figures}\n")
            found[way] = min(found.get(way, figures), figures, key=lambda one: one["processor"] / one["frames"])
    write(found, absent, seconds)


def write(found: dict[str, dict], absent: dict[str, str], seconds: int) -> None:
    """Writes the table."""
    base = found["network"]
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for way, one in found.items():
        wall, processor = (
            (one[kind] / one["frames"]) / (base[kind] / base["frames"]) for kind in ("wall", "processor")
        )
        rate, each = one["frames"] / one["wall"], 1e3 * one["processor"] / one["frames"]
        lines.append(f"| {way} | {rate:.1f} | {wall:.2f} | {each:.1f} | {processor:.2f} | {one['grows']:.0f} |")
    missing = "".join(f" *{way}* does not run here: `{why}`." for way, why in absent.items())
    header = HEADER.format(
        missing=missing,
        load=f"{os.getloadavg()[2]:.0f}",
        seconds=seconds,
        frames=seconds * RATE,
        batch=BATCH,
        rounds=ROUNDS,
    )
    TABLE.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] in WAYS:
        sys.stdout.write(json.dumps(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))))
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SECONDS)
