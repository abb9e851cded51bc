import shutil

import pytest

import tftrt_yolo
from tests.saved_model.edits import forget_digests


def _damaged(source, folder, kind):
    target = folder / "damaged_saved_model"
    if kind == "missing":
        return target
    shutil.copytree(source, target)
    match kind:
        case "no_pb":
            (target / "saved_model.pb").unlink()
        case "cut_short":
            data = (target / "saved_model.pb").read_bytes()
            (target / "saved_model.pb").write_bytes(data[: len(data) // 2])
        case "empty_pb":
            (target / "saved_model.pb").write_bytes(b"")
        case "no_metadata":
            (target / "metadata.yaml").unlink()
        case "metadata_of_ultralytics":
            text = (target / "metadata.yaml").read_text()
            (target / "metadata.yaml").write_text(text.partition("tftrt_yolo:")[0])
        case "metadata_no_yaml":
            (target / "metadata.yaml").write_text("{ not: [yaml")
        case "metadata_no_names":
            text = (target / "metadata.yaml").read_text()
            (target / "metadata.yaml").write_text(text.replace("names:", "nomes:"))
        case "metadata_other_task":
            text = (target / "metadata.yaml").read_text()
            (target / "metadata.yaml").write_text(text.replace("task: detect", "task: flow"))
        case "variables_cut_short":
            [data] = target.glob("variables/*.data*")
            data.write_bytes(data.read_bytes()[:1_000])
        case "other_signatures":
            import tensorflow as tf

            class Other(tf.Module):
                @tf.function(input_signature=[tf.TensorSpec((), tf.float32)])
                def __call__(self, x):
                    return {"y": x}

            other = Other()
            shutil.rmtree(target / "variables")
            (target / "saved_model.pb").unlink()
            tf.saved_model.save(other, str(target), signatures={"classify": other.__call__})
    return target


CASES = [
    ("missing", "is no directory. Expected a SavedModel directory"),
    ("no_pb", "has no saved_model.pb"),
    ("cut_short", r"saved_model\.pb is not as it was written: its SHA-256 is \w{12}\.\.\., and metadata.yaml has"),
    ("empty_pb", r"saved_model\.pb is not as it was written: its SHA-256 is e3b0c44298fc\.\.\."),
    ("no_metadata", "has no metadata.yaml, so it is not a SavedModel of tftrt_yolo"),
    ("metadata_of_ultralytics", "a SavedModel that Ultralytics wrote itself lacks it"),
    ("metadata_no_yaml", "cannot be used"),
    ("metadata_no_names", "cannot be used.*names"),
    ("metadata_other_task", "its task is 'flow'; known are detect, segment, pose, obb, classify, semantic, depth"),
    ("other_signatures", "lacks variables/variables|is not as it was written"),
]
# The same without digests, as versions before them wrote it.
CASES_WITHOUT_DIGESTS = [
    ("cut_short", "is damaged or cut short"),
    ("empty_pb", r"has the signatures \(none\) and lacks serving_default"),
    ("other_signatures", "has the signatures __saved_model_init_op, classify and lacks"),
]


@pytest.mark.parametrize(("kind", "message"), CASES)
def test_damage_is_named(tiny_export, tmp_path, kind, message):
    target = _damaged(tiny_export, tmp_path, kind)
    for use in (tftrt_yolo.Predictor, tftrt_yolo.inspect):
        with pytest.raises(tftrt_yolo.SavedModelError, match=message):
            use(target)


@pytest.mark.parametrize(("kind", "message"), CASES_WITHOUT_DIGESTS)
def test_damage_is_named_without_digests(tiny_export, tmp_path, kind, message):
    target = forget_digests(_damaged(tiny_export, tmp_path, kind))
    for use in (tftrt_yolo.Predictor, tftrt_yolo.inspect):
        with pytest.raises(tftrt_yolo.SavedModelError, match=message):
            use(target)


@pytest.mark.parametrize("kind", ["cut_short", "other_signatures", "missing"])
def test_convert_refuses_damage_and_writes_nothing(tiny_export, tmp_path, kind):
    target = _damaged(tiny_export, tmp_path, kind)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(tftrt_yolo.SavedModelError):
        tftrt_yolo.convert(target, tmp_path / "b_saved_model")
    assert sorted(tmp_path.iterdir()) == before


def test_variables_that_are_cut_short(tiny_export, tmp_path):
    target = _damaged(tiny_export, tmp_path, "variables_cut_short")
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"variables\.data-00000-of-00001 is not as it was written"):
        tftrt_yolo.Predictor(target)
    with pytest.raises(tftrt_yolo.SavedModelError, match="TensorFlow cannot load"):
        tftrt_yolo.Predictor(forget_digests(target))


def test_conversion_json_that_is_cut_short(tiny_conversion, tmp_path):
    target = tmp_path / "b_saved_model"
    shutil.copytree(tiny_conversion, target)
    (target / "conversion.json").write_text((target / "conversion.json").read_text()[:50])
    with pytest.raises(tftrt_yolo.SavedModelError, match=r"conversion\.json cannot be used: it is no JSON"):
        tftrt_yolo.inspect(target)
