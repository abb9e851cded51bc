"""Ultralytics' own tracking of what a detector found: its callbacks on its own results."""

import types

import numpy as np


class Oracle:
    """What `YOLO.track` does with the results of each frame of one video."""

    def __init__(self, tracker, task="detect"):
        from ultralytics.trackers import track

        self._track = track
        self._predictor = types.SimpleNamespace(
            args=types.SimpleNamespace(mode="track", task=task, tracker=str(tracker)),
            dataset=types.SimpleNamespace(mode="video", bs=1),
            device="cpu",
        )
        track.on_predict_start(self._predictor)

    def update(self, rows, image, path="video", **others):
        """Ultralytics' Results of a frame.

        `rows` are (n, 6) of xyxy, score and class, or (n, 7) of xywh, angle, score and class; `image` is RGB; `others`
        are masks and keypoints of Results.
        """
        import torch
        from ultralytics.engine.results import Results

        is_obb = self._predictor.args.task == "obb"
        tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in others.items()}
        boxes = torch.from_numpy(np.asarray(rows, np.float32).reshape(-1, 7 if is_obb else 6))
        tensors["obb" if is_obb else "boxes"] = boxes
        names = {index: str(index) for index in range(80)}
        bgr = np.ascontiguousarray(image[..., ::-1])
        self._predictor.results = [Results(bgr, path, names, **tensors)]
        self._track.on_predict_postprocess_end(self._predictor)
        return self._predictor.results[0].numpy()
