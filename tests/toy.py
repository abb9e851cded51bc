"""A network of a few layers with random weights, for tests of how things are passed on and not of what is found.

It finds something of every class all over a picture, and nothing that is there. Accuracy and parity are tested on the
trained models.
"""

from pathlib import Path

MODEL_YAML = Path(__file__).parent / "data" / "yolov8-toy.yaml"
SIZE = 64  # pixels
CONVOLUTIONS = 28  # in the graph, where the first of a C2f is two (exporter/surgery.py)
_STEEPNESS = 0.1  # of the scores, which lie between 0.5 and 1 so; steeper ones are rounded to 1


def write_weights(path: Path, model_yaml: Path = MODEL_YAML) -> None:
    """Builds the model of a YAML with weights that are the same every time, and answer to the picture."""
    import torch
    from ultralytics import YOLO

    from tftrt_yolo.exporter import pytorch_parity

    torch.manual_seed(0)
    model = YOLO(str(model_yaml), task="detect").model
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # so that one pass sets it to what it sees
    frames = torch.from_numpy(pytorch_parity.reference_frames((SIZE, SIZE)).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        model.train()(frames)
        for branch in model.model[-1].cv3:
            branch[-1].bias.zero_()  # Ultralytics' own lets nothing be found
            branch[-1].weight.mul_(_STEEPNESS)
    torch.save({"model": model.eval()}, path)
