"""What Ultralytics does with an engine's outputs, by its own functions: YOLO("model.engine") without TensorRT.

[found] = detections({"output0": rows}, metadata, [image.shape[:2]])
"""

import numpy as np
import supervision as sv

from tftrt_yolo.contract import Metadata


def detections(outputs: dict, metadata: Metadata, image_sizes_hw: list) -> list:
    """Detections of each image, or the probabilities of a classifier.

    Source: ultralytics.models.yolo.{detect,segment,pose,obb,classify}.predict.
    """
    import torch
    from ultralytics.utils import nms, ops

    rows = torch.from_numpy(outputs["output0"].copy())
    if metadata.task == "classify":
        return list(rows.numpy())
    selection, is_rotated = metadata.selection, metadata.task == "obb"
    chosen = nms.non_max_suppression(
        rows,
        selection.score_threshold,
        selection.iou_threshold,
        max_det=selection.max_detections,
        nc=len(metadata.names),
        rotated=is_rotated,
        end2end=metadata.is_end_to_end,
    )
    found = []
    for index, (kept, size_hw) in enumerate(zip(chosen, image_sizes_hw, strict=True)):
        frame_hw = metadata.image_size_hw
        data = {}
        if metadata.task == "pose":
            points = kept[:, 6:].reshape(len(kept), *metadata.keypoint_shape)
            data["keypoints"] = ops.scale_coords(frame_hw, points.clone(), size_hw)[..., :2].numpy()
        if metadata.task == "segment":
            prototypes = torch.from_numpy(outputs["output1"][index])
            masks = ops.process_mask(prototypes, kept[:, 6:], kept[:, :4], frame_hw, upsample=True)
            data["mask_pixels"] = masks.flatten(1).sum(1).numpy()
        boxes = ops.scale_boxes(frame_hw, kept[:, :4].clone(), size_hw, xywh=is_rotated)
        if is_rotated:
            xywhr = torch.cat([boxes, kept[:, -1:]], dim=-1)
            corners = ops.xywhr2xyxyxyxy(xywhr)
            data["corners"] = corners.numpy()
            boxes = torch.cat([corners.amin(1), corners.amax(1)], dim=-1)
        classes = kept[:, 5].numpy().astype(int)
        found.append(sv.Detections(boxes.numpy(), confidence=kept[:, 4].numpy(), class_id=classes, data=data))
    return found


def differences(found, expected) -> dict[str, float]:
    """The largest differences of Ultralytics' detections from Predictor's result, pair by pair in order of scores.

    Raises:
      AssertionError: If there is another number of them, or one of another class.
    """
    if isinstance(found, np.ndarray):
        return {"probabilities": float(np.abs(found - expected.confidence).max())}
    is_pose = isinstance(expected, sv.KeyPoints)
    boxes = expected.data["xyxy"] if is_pose else expected.xyxy
    scores = expected.detection_confidence if is_pose else expected.confidence
    if expected_masks := getattr(expected, "mask", None) is not None:
        found = found[found.data["mask_pixels"] > 0]  # as Ultralytics leaves them out
    assert len(found) == len(boxes), (len(found), len(boxes), expected_masks)
    if not len(boxes):
        return {}
    assert found.class_id.tolist() == expected.class_id.tolist()
    largest = {"boxes (px)": np.abs(found.xyxy - boxes).max(), "scores": np.abs(found.confidence - scores).max()}
    if is_pose:
        largest["key points (px)"] = np.abs(found.data["keypoints"] - expected.xy).max()
    if "corners" in found.data:
        ours = np.sort(expected.data["xyxyxyxy"].reshape(len(boxes), -1), axis=1)
        largest["corners (px)"] = np.abs(np.sort(found.data["corners"].reshape(len(boxes), -1), axis=1) - ours).max()
    return {name: float(value) for name, value in largest.items()}
