"""How far float32 itself moves the outputs of a network whose attention is sharp, and writes float32_rounding.md.

    python benchmarks/float32_rounding.py           # a minute on two cores

yolo26n-sem with the random weights of engines.py, of which the preflight's bound of 1e-4 says nothing: the recorded
network is computed in NumPy in float32 and in float64, and beside it TensorFlow and PyTorch, both in float32.
"""

import tempfile
from pathlib import Path

import cv2
import engines
import numpy as np
import tensorflow as tf
import torch

import tftrt_yolo
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.executor.execute import execute

DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
PICTURES = [*sorted((DATA / "semantic" / "images").glob("*.jpg"))[:6], *sorted((DATA / "images").glob("*.jpg"))[:6]]
TABLE = Path(__file__).parent / "float32_rounding.md"
MODEL, SIZE = "yolo26n-sem", 64
HEADER = f"""# What float32 leaves of a network's outputs

What `python benchmarks/float32_rounding.py` wrote: {MODEL} with random weights whose normalisations are set to what
they see at 320 px (`engines.py`), at {SIZE} px, on pictures of tests/data stretched to the frame. The largest
difference of the logits, as a share of the largest logit; float64 is the recorded network's, of PyTorch its own. On the
second picture attention's products reach 1,400, and softmax makes shares of their rounding. The preflight, which runs
TensorFlow's graph without its optimisers, found up to 2.5e-4 and a last column of up to 3.5.

| picture | TensorFlow to NumPy | TensorFlow to float64 | NumPy to float64 | PyTorch to float64 | first by third |
|---|---|---|---|---|---|
"""


def made(folder: Path) -> tuple[Path, Path]:
    """Makes the weights, exports them and records TF-TRT's network; returns the weights and the SavedModel."""
    weights, exported = folder / "random.pt", folder / "a_saved_model"
    engines.make_weights(MODEL, weights)
    tftrt_yolo.export(weights, exported, image_size=SIZE)
    tftrt_yolo.preflight(exported, batch_sizes=(1,), output_dir=folder / "preflight")
    return weights, exported


def row(picture: Path, network, signature, model: torch.nn.Module, exact_model: torch.nn.Module) -> str:
    """One picture's figures."""
    image = cv2.resize(cv2.imread(str(picture)), (SIZE, SIZE))[np.newaxis, ..., ::-1]
    frames = image.astype(np.float32) / np.float32(255)
    [port] = network.inputs
    feeds = {network.tensors[port].name: frames}
    [in_float], [exact] = (execute(network, feeds, dtype=dtype).values() for dtype in (np.float32, np.float64))
    in_tensorflow = signature(frames=tf.constant(frames))["logits"].numpy()
    planes = torch.from_numpy(frames.transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        found, expected = (one(given) for one, given in ((model, planes), (exact_model, planes.double())))
    scale = np.abs(exact).max()
    shares = [
        np.abs(one.astype(np.float64) - other).max() / scale
        for one, other in ((in_tensorflow, in_float), (in_tensorflow, exact), (in_float, exact))
    ]
    of_torch = float((found.double() - expected).abs().max() / expected.abs().max())
    figures = " | ".join(f"{share:.2g}" for share in (*shares, of_torch))
    return f"| {picture.parent.parent.name}/{picture.name} | {figures} | {shares[0] / shares[2]:.1f} |\n"


def main() -> None:
    """Measures and writes the table."""
    with tempfile.TemporaryDirectory() as folder:
        weights, exported = made(Path(folder))
        [network] = recorded_network.read(Path(folder, "preflight"))
        loaded = tf.saved_model.load(str(exported))
        model, exact_model = (torch.load(weights, weights_only=False)["model"].float().eval() for _ in range(2))
        exact_model.double()
        rows = [row(path, network, loaded.signatures["network"], model, exact_model) for path in PICTURES]
    TABLE.write_text(HEADER + "".join(rows))


if __name__ == "__main__":
    main()
