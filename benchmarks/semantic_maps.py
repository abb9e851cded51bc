"""What the class map of an image costs beside Ultralytics' own: processor time and memory, on one thread.

python benchmarks/semantic_maps.py        # writes benchmarks/semantic_maps.md; needs PyTorch and Ultralytics

The logits are those of a frame of 640 x 640 pixels, 80 x 80 cells. "regions" have a class far ahead over areas of some
cells, as networks have; "noise" has every class ahead somewhere, so that none can be left out. Each measurement has a
process of its own, whose memory is what it reaches beyond what it had when the logits were there.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import numpy as np

FRAME_HW = (640, 640)
CASES = [(19, (1_080, 1_920)), (150, (1_080, 1_920)), (80, (2_160, 3_840))]  # classes, the image's height and width
KINDS = ("regions", "noise")
HOWS = {"ultralytics": "Ultralytics", "host": "host", "graph": "graph, with its PNG"}
REPEATS = 3


def logits_of(kind: str, num_classes: int) -> np.ndarray:
    """(80, 80, C) float32."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(80, 80, num_classes))
    if kind == "regions":
        noise += 8 * rng.normal(size=(5, 5, num_classes)).repeat(16, axis=0).repeat(16, axis=1)
    return noise.astype(np.float32)


def _ultralytics(logits: np.ndarray, image_hw: tuple[int, int]):
    """Ultralytics' predictor after the network."""
    import torch
    from ultralytics.models.yolo.semantic import SemanticSegmentationPredictor

    torch.set_num_threads(1)
    planes = torch.from_numpy(logits.transpose(2, 0, 1).copy())[None]
    predictor = SemanticSegmentationPredictor()
    predictor.model = types.SimpleNamespace(names=dict.fromkeys(range(logits.shape[-1]), ""))
    predictor.batch, image = [["image.png"]], np.zeros((*image_hw, 3), np.uint8)
    frames = torch.zeros(1, 3, *FRAME_HW)
    return lambda: predictor.postprocess(planes, frames, [image])[0].semantic_mask.data.numpy()


def _host(logits: np.ndarray, image_hw: tuple[int, int]):
    """What `Predictor` does."""
    from tftrt_yolo.tasks.maps import class_maps

    return lambda: class_maps.class_map(logits, image_size_hw=image_hw, frame_size_hw=FRAME_HW)


def _graph(logits: np.ndarray, image_hw: tuple[int, int]):
    """What signature `encoded` does."""
    import tensorflow as tf

    from tftrt_yolo.graph.encoded import class_maps as encoded_class_maps  # another than `_host`'s

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    pack = tf.function(lambda *arguments: encoded_class_maps.pack(*arguments, FRAME_HW), autograph=False)
    batch, sizes = tf.constant(logits[np.newaxis]), tf.constant([image_hw])
    return lambda: tf.io.decode_png(pack(batch, sizes)[0]).numpy()[..., 0]


def measure(how: str, kind: str, num_classes: int, image_hw: tuple[int, int]) -> None:
    """Prints milliseconds, megabytes and a hash of the map, in a process of its own."""
    logits = logits_of(kind, num_classes)
    call = {"ultralytics": _ultralytics, "host": _host, "graph": _graph}[how](logits, image_hw)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        found = call()
        times.append(1e3 * (time.process_time() - start))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    np.save(_path(how), found)  # for the comparison
    sys.stdout.write(f"{min(times):.0f} {peak:.0f}\n")


def _path(how: str) -> Path:
    """Where the last map of each is kept."""
    return Path(tempfile.gettempdir(), f"semantic_maps_{how}.npy")


def main() -> None:
    """Measures everything, one after the other, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        how, kind, *numbers = asked.measure
        num_classes, height, width = map(int, numbers)
        measure(how, kind, num_classes, (height, width))
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    lines = [
        "# The class map of an image",
        "",
        "Processor time and memory of one map on one thread of a shared CPU, by `python benchmarks/semantic_maps.py`:",
        f"the least of {REPEATS}. The last column counts pixels that differ from Ultralytics' map; they are ties.",
        "",
        "| classes | image | logits | by | ms | MB | pixels that differ |",
        "|---|---|---|---|---|---|---|",
    ]
    for num_classes, image_hw in CASES:
        for kind in KINDS:
            maps = {}
            for how, name in HOWS.items():
                words = [how, kind, num_classes, *image_hw]
                command = [sys.executable, __file__, "--measure", *map(str, words)]
                said = subprocess.run(command, env=os.environ | threads, check=True, capture_output=True, text=True)
                milliseconds, megabytes = said.stdout.split()[-2:]
                maps[how] = np.load(_path(how))
                differ = np.count_nonzero(maps[how] != maps["ultralytics"]) if how != "ultralytics" else "-"
                size = f"{image_hw[1]:,} x {image_hw[0]:,}"
                figures = f"{int(milliseconds):,} | {int(megabytes):,} | {differ}"
                lines.append(f"| {num_classes} | {size} | {kind} | {name} | {figures} |")
                sys.stdout.write(lines[-1] + "\n")
                sys.stdout.flush()
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
