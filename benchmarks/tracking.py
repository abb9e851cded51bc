"""Measures what a tracker costs beside the network, and writes tracking.md.

    python benchmarks/tracking.py ~/exports       # the export is kept there, and taken from there the next time

A frame's time is from the array on the host to supervision's object. The kinds of calls take turns, 50 frames each, so
that what else the machine does meets all of them alike; each tracker goes on with the objects that it knows.
"""

import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image

import tftrt_yolo

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).parent / "tracking.md"
WEIGHTS = ROOT / "tftrt_yolo" / "assets" / "yolov8n-digits.pt"
SIZES_HW = ((720, 1280), (1080, 1920))
TRACKERS = (None, "bytetrack", "botsort")
FRAMES, CHUNK = 1_000, 50
DIGITS, SIDE = 12, 160  # moving, and their side in pixels
HEADER = """# Tracking

What `python benchmarks/tracking.py` wrote, on two cores without a GPU, beside other work: yolov8n at 640 px, {frames}
frames with {digits} moving digits, {objects:.1f} objects a frame. Times are of all the process's threads and of the
clock, in ms a frame. *update* is the tracker alone: `Tracking.update` on what the network found.

"""
COLUMNS = ("frames", "tracker", "processor", "to none", "clock", "to none", "update")


def frames(size_hw: tuple[int, int], first: int, count: int) -> list[np.ndarray]:
    """Frames of digits that go to and fro, each at a speed of its own, over stones."""
    paths = sorted((ROOT / "tests" / "data" / "classify").glob("*/*.jpg"))[:: 40 // DIGITS][:DIGITS]
    photos = [np.asarray(PIL.Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in paths]
    stones = np.random.default_rng(0).integers(40, 120, (size_hw[0] // 40, size_hw[1] // 40, 3), np.uint8)
    ground = np.asarray(PIL.Image.fromarray(stones).resize(size_hw[::-1]))
    drawn = []
    for at in range(first, first + count):
        image = ground.copy()
        for number, photo in enumerate(photos):
            room = size_hw[1] - SIDE
            x = abs((number * 211 + at * (3 + number % 4)) % (2 * room) - room)
            y = number * (size_hw[0] - SIDE) // (DIGITS - 1)
            image[y : y + SIDE, x : x + SIDE] = photo
        drawn.append(image)
    return drawn


def measure(predictor: tftrt_yolo.Predictor, size_hw: tuple[int, int]) -> tuple[list[dict], float]:
    """Times every kind of call in turn; rows of the table, and objects a frame."""
    trackings = {name: name and tftrt_yolo.Tracking(name) for name in TRACKERS}
    alone = {name: name and tftrt_yolo.Tracking(name) for name in TRACKERS}
    times, objects = {name: np.zeros(3) for name in TRACKERS}, 0
    for name in TRACKERS:
        predictor(frames(size_hw, 0, 8), tracker=trackings[name])
    for first in range(0, FRAMES, CHUNK):
        images = frames(size_hw, first, CHUNK)
        found = predictor(images, score_threshold=0.1)
        for name in TRACKERS:
            begun = np.array([time.process_time(), time.perf_counter()])
            results = predictor(images, tracker=trackings[name])
            times[name][:2] += [time.process_time(), time.perf_counter()] - begun
            start = time.perf_counter()
            for result, image in zip(found, images, strict=True):
                if name:
                    alone[name].update(result, image)
            times[name][2] += time.perf_counter() - start
        objects += sum(map(len, results))
    size = f"{size_hw[1]} x {size_hw[0]}"
    own = times[None]
    rows = []
    for name, values in times.items():
        (processor, clock, update), (more, longer) = 1e3 * values / FRAMES, values[:2] / own[:2]
        shown = [f"{processor:.1f}", f"{more:.3f}", f"{clock:.1f}", f"{longer:.3f}", f"{update:.2f}" if name else ""]
        rows.append([size, name or "none", *shown])
    return rows, objects / FRAMES


def main(exports_dir: Path) -> None:
    """Measures every size and writes the table."""
    exported = exports_dir / "digits_saved_model"
    if not exported.exists():
        tftrt_yolo.export(WEIGHTS, exported)
    predictor = tftrt_yolo.Predictor(exported)
    rows = []
    for size_hw in SIZES_HW:
        found, objects = measure(predictor, size_hw)
        rows += found
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    header = HEADER.format(frames=f"{FRAMES:,}", digits=DIGITS, objects=objects)
    TABLE.write_text(header + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/tracking"))
