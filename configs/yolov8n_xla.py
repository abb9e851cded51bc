"""YOLOv8n at 640 px in FP16 under XLA, for GPUs without TensorRT.

Weights: the official checkpoint yolov8n.pt (COCO, 80 classes, mAP50-95 37.3 by Ultralytics).
Expected: all 71 convolutions and products in FP16, compiled for batches of 1 and 8; every detection of the export found
again on parity_images.

    tftrt-yolo export --config=configs/yolov8n_xla.py
    tftrt-yolo convert --config=configs/yolov8n_xla.py --parity_images=photos
    tftrt-yolo benchmark --config=configs/yolov8n_xla.py --output_dir=runs/benchmark
"""

import yolov8n_fp16
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the recipe: yolov8n_fp16 for another accelerator, and what a benchmark of it needs."""
    config = yolov8n_fp16.get_config()
    config.convert.accelerator = "xla"
    config.convert.batch_sizes = (1, 8)  # that are compiled; others are filled up, and cut
    config.convert.output_saved_model_dir = config.predict.saved_model_dir = "yolov8n_xla_saved_model"
    config.predict.output_dir = "runs/yolov8n_xla"
    config.benchmark = ConfigDict(
        {"saved_model_dir": "yolov8n_saved_model", "weights": "yolov8n.pt", "batch_sizes": (1, 8, 32, 64)}
    )
    return config
