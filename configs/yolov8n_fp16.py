"""YOLOv8n at 640 px as one FP16 TensorRT engine, batch 1 to 8.

Weights: the official checkpoint yolov8n.pt (COCO, 80 classes, mAP50-95 37.3 by Ultralytics).
Expected: 1 engine, 100 % of the nodes inside; boxes within 0.1 px of PyTorch before conversion.

    tftrt-yolo export --config=configs/yolov8n_fp16.py
    tftrt-yolo convert --config=configs/yolov8n_fp16.py
    tftrt-yolo predict --config=configs/yolov8n_fp16.py --source=photos
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Returns the recipe; each section holds the keyword arguments of one public function."""
    config = ConfigDict()
    config.export = ConfigDict({"weights": "yolov8n.pt", "saved_model_dir": "yolov8n_saved_model", "image_size": 640})
    config.convert = ConfigDict(
        {
            "saved_model_dir": "yolov8n_saved_model",
            "output_saved_model_dir": "yolov8n_fp16_saved_model",
            "precision_mode": "FP16",
            "batch_sizes": (1, 8),
        }
    )
    config.predict = ConfigDict({"saved_model_dir": "yolov8n_fp16_saved_model", "output_dir": "runs/yolov8n_fp16"})
    return config
