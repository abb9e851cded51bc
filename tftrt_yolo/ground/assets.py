"""What comes with the package: a model of handwritten digits and a photo of some; see assets/README.md."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "assets"
WEIGHTS = _FOLDER / "yolov8n-digits.pt"  # YOLOv8n, 640 px
PHOTO = _FOLDER / "digits.jpg"
