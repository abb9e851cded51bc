"""What a billion images take, from rates that were measured: prints the table of docs/pages/scale.md.

    python benchmarks/scale.py                          # of every shape of node below
    python benchmarks/scale.py --model=yolov8s --images=50e6 --hours=8 --cores=64 --gpus=4 --gbits=50
    python benchmarks/scale.py --measure                # two minutes on one core: writes scale.json anew

A node is what the arguments say: cores, GPUs, and the gigabits a second that it gets from where the pictures are. What
an image costs is taken from scale.json (decoding and Ray's object store, by core) and from the benchmarks beside it
(the network with everything around it: a GPU's whole, a core's half of what two cores gave). Everything is assumed to
grow with the number of cores, GPUs and nodes; where it was not run, that is all that is known.
"""

import argparse
import dataclasses
import io
import json
import os
import statistics
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
FIGURES = HERE / "scale.json"
SIZES_WH = ((640, 480), (1_920, 1_080))
SECONDS = 5.0  # of each measurement, of processor time
COLUMNS = (
    "picture",
    "node",
    "decoding images/s",
    "network images/s",
    "transfer images/s",
    "bound by",
    "nodes for {hours:g} h",
    "node hours",
)


@dataclasses.dataclass(frozen=True)
class Node:
    """A shape of node.

    Attributes:
      cores: Processor cores, whole ones.
      gpus: H200s, the only GPU whose rates are known here.
      gbits: Gigabits a second that it gets from where the pictures are.
    """

    cores: int
    gpus: int
    gbits: float

    def __str__(self) -> str:
        """In a row of the table."""
        gpus = f", {self.gpus} GPU{'s' if self.gpus > 1 else ''}" if self.gpus else ""
        return f"{self.cores} cores{gpus}, {self.gbits:g} Gbit/s"


NODES = (Node(2, 0, 1), Node(64, 0, 10), Node(16, 1, 10), Node(64, 1, 25), Node(192, 8, 100))


def rate(model: str, machine: str) -> float:
    """The best rate end to end of ours, in images a second, of a model on one of the machines that were measured."""
    benchmark = json.loads((HERE / f"{machine}-{model}" / "benchmark.json").read_text())
    ours = {one["name"] for one in benchmark["contestants"] if one["is_ours"]}
    return max(
        statistics.median(one["windows_images_per_second"])
        for one in benchmark["measurements"]
        if one["contestant"] in ours and one["mode"] == "end_to_end"
    )


def bounds(node: Node, model: str, picture: str, figures: dict) -> dict[str, float]:
    """Images a second of a node, by what each of its parts could do alone.

    Args:
      node: Its shape.
      model: A model's name in the folders of benchmarks.
      picture: A size in scale.json.
      figures: What scale.json holds.

    Returns:
      Rates of decoding with the object store, of the network, and of the transfer; on a node without GPUs the first
      two share its cores in the proportion that makes them equal.
    """
    one = figures["pictures"][picture]
    decoding_s = 1 / one["decoded_per_second"] + one["pixel_bytes"] / figures["object_store_bytes_per_second"]
    transfer = node.gbits * 1e9 / 8 / one["file_bytes"]
    if node.gpus:
        return {
            "decoding": node.cores / decoding_s,
            "network": node.gpus * rate(model, "h200"),
            "transfer": transfer,
        }
    network_s = 2 / rate(model, "cpu2")
    both = node.cores / (decoding_s + network_s)
    return {"decoding": both, "network": both, "transfer": transfer}


def row(node: Node, model: str, picture: str, figures: dict, *, images: float, hours: float) -> tuple[str, ...]:
    """A row of the table."""
    found = bounds(node, model, picture, figures)
    slowest = min(found, key=found.get)
    names = {"decoding": "decoding" if node.gpus else "processor", "network": "GPU", "transfer": "transfer"}
    node_hours = images / found[slowest] / 3_600
    nodes = max(1, -(-node_hours // hours))
    rates = [f"{found[name]:,.0f}" for name in ("decoding", "network", "transfer")]
    return (picture, str(node), *rates, names[slowest], f"{nodes:,.0f}", f"{node_hours:,.0f}")


def table(nodes: tuple[Node, ...], model: str, picture: str | None, *, images: float, hours: float) -> str:
    """The table in Markdown, of one size of pictures or of all."""
    figures = json.loads(FIGURES.read_text())
    pictures = [picture] if picture else list(figures["pictures"])
    columns = [column.format(hours=hours) for column in COLUMNS]
    rows = [columns, ["---"] * len(columns)]
    rows += [row(node, model, one, figures, images=images, hours=hours) for one in pictures for node in nodes]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def measure() -> dict:
    """Measures on one core."""
    import numpy as np
    import PIL.Image

    from tftrt_yolo.ground.files.image_files import read_image

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    photo = PIL.Image.open(HERE.parent / "tftrt_yolo" / "assets" / "digits.jpg").convert("RGB")
    pictures = {}
    for size in SIZES_WH:
        file = io.BytesIO()
        photo.resize(size).save(file, "JPEG", quality=90)
        data = file.getvalue()
        pictures[f"{size[0]} x {size[1]}"] = {
            "file_bytes": len(data),
            "pixel_bytes": size[0] * size[1] * 3,
            "decoded_per_second": repeated(lambda data=data: read_image(data)),
        }
    pixels = np.ones(32 << 20, np.uint8)
    # The second keeps Ray from taking 127.0.0.1 for the address that other machines have of this one.
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    import ray

    ray.init(address="local", num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    there = repeated(lambda: ray.get(ray.put(pixels)).max())
    alone = repeated(pixels.max)
    ray.shutdown()
    seconds = 1 / there - 1 / alone
    return {"pictures": pictures, "object_store_bytes_per_second": pixels.nbytes / seconds, "load": os.getloadavg()[0]}


def repeated(call) -> float:
    """Calls a second of processor time, which others of the machine do not take part in."""
    call()
    start, count = time.process_time(), 0
    while time.process_time() - start < SECONDS:
        call()
        count += 1
    return count / (time.process_time() - start)


def main() -> None:
    """Prints, or measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="measure, and write scale.json")
    parser.add_argument("--model", default="yolov8n", help="a model of benchmarks/h200-* and cpu2-*")
    parser.add_argument("--picture", help="a size in scale.json; all without it")
    parser.add_argument("--images", type=float, default=1e9)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--gbits", type=float, default=10)
    given = parser.parse_args()
    if given.measure:
        FIGURES.write_text(json.dumps(measure(), indent=2) + "\n")
    nodes = (Node(given.cores, given.gpus, given.gbits),) if given.cores else NODES
    print(table(nodes, given.model, given.picture, images=given.images, hours=given.hours))  # noqa: T201


if __name__ == "__main__":
    main()
