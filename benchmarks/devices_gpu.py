"""Measures `predict` on one GPU beside a process on each of two, for a machine with two GPUs; prints JSON.

    python benchmarks/devices_gpu.py yolov8n_saved_model photos
    python benchmarks/devices_gpu.py yolov8n_saved_model photos --devices=cpu --several=cpu,cpu     # to try it anywhere

Files go in and detections.jsonl comes out, without pictures. Each way runs a few and many files, --rounds times, and
its rate is the difference of the files by the difference of the medians, so that loading and warming up do not count.
Then a Predictor on the last of the devices is compared with one on the first. The aim is 1.9 times the rate of one.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tftrt_yolo

FEW, PROBE = 512, 1_024  # files
COMPARED = 16  # files that two devices are compared on
ON_DEVICE = """
import json, sys
import tensorflow as tf
import tftrt_yolo
model, device, *files = sys.argv[1:]
predictor = tftrt_yolo.Predictor(model, device=device)
found = predictor(files)
memory = {gpu.name[-5:]: tf.config.experimental.get_memory_info(gpu.name[-5:])["peak"]
          for gpu in tf.config.list_logical_devices("GPU")}
print(json.dumps({"repr": repr(predictor), "peak_bytes": memory,
                  "boxes": [one.xyxy.tolist() for one in found]}))
"""


def seconds_of(given: argparse.Namespace, devices: tuple, count: int, folder: Path) -> tuple[float, str]:
    """Seconds of a run without loading the model, and what ran it."""
    names = itertools.islice(itertools.cycle(given.pictures), count)
    listed = folder / "files.txt"
    listed.write_text("\n".join(map(str, names)))
    report = tftrt_yolo.predict(
        given.saved_model_dir,
        tftrt_yolo.SourceOptions(source=listed, devices=devices),
        tftrt_yolo.OutputOptions(output_dir=folder / "out", pictures=False),
        batch_size=given.batch_size,
        overwrite=True,
    )
    if report.num_images != count:
        raise SystemExit(f"{report.num_images} of {count} files were read")
    return report.seconds, report.backend


def rate_of(given: argparse.Namespace, devices: tuple, most: int, folder: Path) -> dict:
    """Files a second of one way."""
    few, many, backend = [], [], ""
    for _ in range(given.rounds):
        few.append(seconds_of(given, devices, FEW, folder)[0])
        seconds, backend = seconds_of(given, devices, most, folder)
        many.append(seconds)
    rate = (most - FEW) / (statistics.median(many) - statistics.median(few))
    return {"files_per_second": rate, "seconds_few": few, "seconds_many": many, "files": most, "backend": backend}


def on(given: argparse.Namespace, device: str) -> dict:
    """What a Predictor on a device finds, in a process of its own, and the memory that it took of each GPU."""
    command = [sys.executable, "-c", ON_DEVICE, given.saved_model_dir, device, *map(str, given.pictures[:COMPARED])]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def _difference(first: list, last: list) -> float | None:
    """By how much boxes differ at most; None where their numbers do."""
    if [len(one) for one in first] != [len(one) for one in last]:
        return None
    pairs = zip(itertools.chain(*first), itertools.chain(*last), strict=True)
    return max((abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True)), default=0.0)


def main() -> None:
    """Measures and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("saved_model_dir")
    parser.add_argument("images_dir", type=Path)
    parser.add_argument("--devices", default="0")
    parser.add_argument("--several", default="0,1")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a long run on one device, about")
    given = parser.parse_args()
    given.pictures = sorted(given.images_dir.resolve().glob("*.jpg"))[:512]
    ways = {
        name: tuple(int(one) if one.isdecimal() else one for one in text.split(","))
        for name, text in (("one", given.devices), ("several", given.several))
    }
    found = {"model": Path(given.saved_model_dir).name, "pictures": len(given.pictures), "batch_size": given.batch_size}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seconds_of(given, ways["one"], FEW, folder)  # imports, and files into the system's cache
        probed = seconds_of(given, ways["one"], PROBE, folder)[0]
        for way, devices in ways.items():
            share = len(devices) if way == "several" else 1
            most = FEW + max(1, round(given.seconds * PROBE / probed / FEW)) * FEW * share
            start = time.perf_counter()
            found[way] = rate_of(given, devices, most, folder)
            found[way]["wall_seconds"] = time.perf_counter() - start
            sys.stderr.write(f"{way}: {found[way]['files_per_second']:.1f} files/s\n")
    found["several_to_one"] = found["several"]["files_per_second"] / found["one"]["files_per_second"]
    names = (f"GPU:{one}" if isinstance(one, int) else one for one in (ways["one"][0], ways["several"][-1]))
    first, last = (on(given, name) for name in names)
    found["largest_difference_px"] = _difference(first.pop("boxes"), last.pop("boxes"))
    found["predictors"] = [first, last]
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
