"""The packaged model of handwritten digits as one FP16 TensorRT engine.

Weights: tftrt_yolo/assets/yolov8n-digits.pt (YOLOv8n, 10 classes).
Expected: 1 engine, 100 % of the nodes inside.

    tftrt-yolo export --config=configs/digits_fp16.py
    tftrt-yolo convert --config=configs/digits_fp16.py
    tftrt-yolo predict --config=configs/digits_fp16.py
"""

import yolov8n_fp16
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the recipe: yolov8n_fp16 with other weights."""
    config = yolov8n_fp16.get_config()
    config.export.weights = "tftrt_yolo/assets/yolov8n-digits.pt"
    config.export.saved_model_dir = config.convert.saved_model_dir = "runs/digits_saved_model"
    config.convert.output_saved_model_dir = config.predict.saved_model_dir = "runs/digits_fp16_saved_model"
    config.predict.source = "tftrt_yolo/assets/digits.jpg"
    config.predict.output_dir = "runs/digits_fp16"
    return config
