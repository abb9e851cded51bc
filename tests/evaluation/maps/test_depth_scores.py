"""Figures of depth against Ultralytics' own metrics and data set."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from tftrt_yolo.evaluation.datasets.examples import LabelSpec
from tftrt_yolo.evaluation.datasets.maps import depth_labels
from tftrt_yolo.evaluation.maps import depth_scores
from tftrt_yolo.ground.placement import letterboxed

torch = pytest.importorskip("torch")
metrics = pytest.importorskip("ultralytics.utils.metrics")
if not hasattr(metrics, "DepthMetrics"):
    pytest.skip("this Ultralytics has no depth", allow_module_level=True)

_AS_ULTRALYTICS = ("delta1", "delta2", "delta3", "abs_rel", "rmse", "silog")


def _maps(seed):
    """A label with holes and a map that is wrong in many ways, not all of them numbers."""
    rng = np.random.default_rng(seed)
    label = rng.uniform(0.3, 12, (40, 48)).astype(np.float32)
    label[rng.uniform(size=label.shape) < 0.3] = 0
    label[:2] = 99  # beyond the most that counts
    depth = label * rng.uniform(0.5, 2.5) * np.exp(rng.normal(0, 0.3, label.shape)) + 0.05
    depth[5, :4] = np.nan, np.inf, -np.inf, -2
    return depth.astype(np.float32), label


def test_the_figures_are_ultralytics():
    expected = {align: metrics.DepthMetrics(max_depth=80.0, align=align) for align in ("median", "none")}
    found = []
    for depth, label in map(_maps, range(6)):
        for one in expected.values():
            one.update_stats(torch.from_numpy(depth)[None, None], torch.from_numpy(label)[None, None])
        found.append(depth_scores.figures(depth, label, 80.0))
    for one in expected.values():
        one.process()
    aligned, plain = (one.results_dict for one in expected.values())
    means = np.mean(found, axis=0)
    np.testing.assert_allclose(means[:6], [aligned[f"metrics/{name}"] for name in _AS_ULTRALYTICS], rtol=1e-5)
    np.testing.assert_allclose(means[6:], [plain["metrics/delta1"], plain["metrics/abs_rel"]], rtol=1e-5)
    assert 0.1 < means[6] < means[0] < 0.9  # that the scale is off shows only where nothing is aligned


@pytest.mark.parametrize("image_hw", [(40, 56), (200, 97), (64, 64), (333, 500)])
def test_a_label_lies_in_the_frame_as_ultralytics_lays_it(tmp_path, image_hw):
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import DepthDataset

    for name in ("images", "depth"):
        (tmp_path / name).mkdir()
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "images" / "one.png"), rng.integers(0, 256, (*image_hw, 3), np.uint8))
    label_hw = tuple(round(side * 1.5) for side in image_hw)
    cv2.imwrite(str(tmp_path / "depth" / "one.png"), rng.integers(1, 60_000, label_hw).astype(np.uint16))
    data = {"nc": 1, "names": {0: "depth"}, "depth_scale": 256, "channels": 3}
    dataset = DepthDataset(
        img_path=str(tmp_path / "images"), imgsz=64, data=data, task="depth", augment=False, hyp=get_cfg()
    )
    example = depth_labels.reader(data, "data.yaml")(tmp_path / "images" / "one.png")
    found = depth_scores.of_frame(example.truth.in_pixels(image_hw).depth, image_hw, (64, 64))
    np.testing.assert_array_equal(found, dataset[0]["depth"][0].numpy())


def test_an_image_that_hardly_has_a_depth_in_the_frame_has_no_figures():
    """A label whose few depths are lost where it is made smaller does not spoil the others' figures."""
    expected = metrics.DepthMetrics(max_depth=80.0)
    scores = depth_scores.DepthScores(LabelSpec("depth", {0: "depth"}))
    rng = np.random.default_rng(0)
    sparse, few = np.zeros((2, 160, 160), np.float32)
    sparse[1::5, 1::5] = 3  # of each 5 x 5 the frame takes another
    few.flat[rng.permutation(few.size)[:80]] = 3
    for label in (_maps(0)[1], sparse, few, _maps(1)[1]):
        depth = rng.uniform(1, 9, (8, 8)).astype(np.float32)
        truth = depth_labels.DepthTruth(
            read=label.copy,
            shape_hw=label.shape,
            num_objects=label.size,
            path=Path("a.png"),
            most_depth=80,
            depth=label,
        )
        frame = letterboxed(label.shape, (32, 32))
        scores.add({"depth": depth[None]}, [truth], [frame])
        rows = depth_scores.corner_weights(8, 32)
        placed = depth_scores.of_frame(label, label.shape, (32, 32))
        expected.update_stats(*(torch.from_numpy(one)[None, None] for one in (rows @ depth @ rows.T, placed)))
    expected.process()
    [note] = scores.notes()
    assert note.startswith("2 images of 4 have fewer than 10 labelled pixels in the frame, and no figures")
    found = {metric.name: metric.value for metric in scores.metrics()[0]}
    for name in _AS_ULTRALYTICS:
        assert found[name] == pytest.approx(expected.results_dict[f"metrics/{name}"], rel=1e-5)
    drawn = scores.resampled(np.array([[1, 1, 1, 1], [0, 4, 0, 0], [0, 2, 1, 1]]))
    np.testing.assert_allclose(drawn["rmse"], [found["rmse"], np.nan, scores._figures[3][4]])
    nothing = depth_scores.DepthScores(LabelSpec("depth", {0: "depth"}))
    nothing.add({"depth": depth[None]}, [dataclasses.replace(truth, depth=sparse)], [letterboxed((160, 160), (32, 32))])
    assert {metric.value for metric in nothing.metrics()[0]} == {None}


def test_figures_of_other_draws():
    scores = depth_scores.DepthScores(LabelSpec("depth", {0: "depth"}))
    scores._figures = [depth_scores.figures(*_maps(seed), 80.0) for seed in range(3)]
    drawn = scores.resampled(np.array([[1, 1, 1], [0, 3, 0]]))
    assert scores.notes() == ()
    for place, metric in enumerate(scores.metrics()[0]):
        np.testing.assert_allclose(drawn[metric.name], [metric.value, scores._figures[1][place]])
