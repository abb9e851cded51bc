"""What status and orientation cost signature `encoded`: SavedModels of two versions, in turns, in one process.

python benchmarks/encoded.py BEFORE_saved_model NOW_saved_model        # prints lines of benchmarks/encoded.md
python benchmarks/encoded.py --processor BEFORE_saved_model NOW_saved_model    # processor time, of one thread

Both hold the same model: one was exported by a version whose `encoded` has no `status`. The files are pictures of the
tests, scaled to 640 x 640 and saved as JPEG of quality 90, without EXIF unless they are turned ones.
"""

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import tensorflow as tf

PICTURES = sorted(Path(__file__).parents[1].joinpath("tests", "data", "images").glob("*.jpg"))
SIDE, QUALITY = 640, 90
BATCHES = {1: 150, 16: 16}  # batch size, and how often it is run
TURNED = 6  # EXIF's orientation of a camera that was held upright
_ORIENTATION = 0x0112


def files(count: int, *, orientation: int = 0) -> list[bytes]:
    """So many JPEG files."""
    found = []
    for path in PICTURES[:count]:
        file, exif = io.BytesIO(), PIL.Image.Exif()
        exif[_ORIENTATION] = orientation
        picture = PIL.Image.open(path).convert("RGB").resize((SIDE, SIDE))
        picture.save(file, "JPEG", quality=QUALITY, **({"exif": exif} if orientation else {}))
        found.append(file.getvalue())
    return found


def measure(directories: list[str], clock: Callable[[], float]) -> list[str]:
    """A line for each batch size, kind of files and SavedModel."""
    loaded = [tf.saved_model.load(directory) for directory in directories]
    lines = []
    for batch_size, repeats in BATCHES.items():
        for name, orientation in (("no EXIF", 0), ("turned", TURNED)):
            batch = tf.constant(files(batch_size, orientation=orientation))
            times = _in_turns([one.signatures["encoded"] for one in loaded], batch, repeats, clock)
            ratios = times / times[0]
            for directory, own, ratio in zip(directories, times, ratios, strict=True):
                quarter, median, three = np.percentile(own, [25, 50, 75])
                cells = [Path(directory).name, batch_size, name, f"{own.min():.2f}", f"{median:.2f}"]
                cells += [
                    f"{quarter:.2f} to {three:.2f}",
                    f"{np.median(ratio):.3f}",
                    f"{own.min() / times[0].min():.3f}",
                ]
                lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _in_turns(functions: list, batch: tf.Tensor, repeats: int, clock: Callable[[], float]) -> np.ndarray:
    """Milliseconds (functions, repeats); each turn runs all of them, every second one the other way round."""
    for function in functions:
        for _ in range(3):
            function(image_bytes=batch)
    times = np.zeros((len(functions), repeats))
    for turn in range(repeats):
        order = range(len(functions)) if turn % 2 else reversed(range(len(functions)))
        for index in order:
            start = clock()
            functions[index](image_bytes=batch)["num_detections"].numpy()  # which waits for it
            times[index, turn] = (clock() - start) * 1e3
    return times


if __name__ == "__main__":
    arguments, timer = sys.argv[1:], time.perf_counter
    if arguments[0] == "--processor":  # what other programs do on the machine counts little then
        arguments, timer = arguments[1:], time.process_time
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    sys.stdout.write("\n".join(measure(arguments, timer)) + "\n")
