"""What comes with the package: models of handwritten digits and labelled pictures of some; see assets/README.md."""

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "assets"
WEIGHTS = _FOLDER / "yolov8n-digits.pt"  # YOLOv8n, 640 px
PHOTO = _FOLDER / "digits.jpg"
# One small model a task, yolov8n-tiny-TASK.pt (320 px, classify 64 px); images/; TASK/data.yaml and TASK/labels/, where
# images/ is missing; classify/CLASS/.
ACCEPTANCE = _FOLDER / "acceptance"


def pictures() -> list[Path]:
    """Pictures of handwritten digits, JPEG files, in order."""
    return sorted((ACCEPTANCE / "images").glob("*.jpg"))
