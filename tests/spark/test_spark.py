"""docs/recipes/yolo_on_spark.py, run by Spark: what it finds is what a Predictor finds. Run by make test-spark."""

import os
import shutil
import sys

import numpy as np
import pytest

import tftrt_yolo
from tests.conftest import IMAGES
from tests.documents import ROOT, blocks

RECIPE = ROOT / "docs" / "recipes" / "yolo_on_spark.py"
PAGE = ROOT / "docs" / "pages" / "spark.md"


@pytest.fixture(scope="module")
def spark():
    sql = pytest.importorskip("pyspark.sql", reason="make test-spark has it, in an environment of its own")
    os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    session = (
        sql.SparkSession.builder.master("local[2]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "8")
        .getOrCreate()
    )
    session.sparkContext.addPyFile(str(RECIPE))
    yield session
    session.stop()


@pytest.mark.slow
def test_each_picture_has_its_row(spark, models, tmp_path):
    import yolo_on_spark

    model, folder = models.exported("tiny"), tmp_path / "in"
    folder.mkdir()
    for path in IMAGES[:30]:
        shutil.copy(path, folder)
    (folder / "broken.jpg").write_text("no picture")
    files = spark.read.format("binaryFile").load(str(folder)).repartition(4)
    found = files.mapInPandas(yolo_on_spark.detect(str(model)), yolo_on_spark.SCHEMA)
    found.write.parquet(str(tmp_path / "found"))

    rows = {row["path"].rpartition("/")[2]: row for row in spark.read.parquet(str(tmp_path / "found")).collect()}
    assert set(rows) == {path.name for path in folder.iterdir()}
    assert "no image" in rows["broken.jpg"]["error"]
    assert rows["broken.jpg"]["detections"] == []
    for path, result in zip(IMAGES, tftrt_yolo.Predictor(model)(IMAGES[:30]), strict=False):
        row = rows[path.name]
        assert row["error"] is None
        assert [one["class"] for one in row["detections"]] == result.class_id.tolist()
        boxes = [[one[name] for name in ("x1", "y1", "x2", "y2")] for one in row["detections"]]
        np.testing.assert_allclose(np.reshape(boxes, (-1, 4)), result.xyxy, atol=0.01)


@pytest.mark.slow
def test_a_worker_opens_the_model_once(spark, models):
    """However many tasks it has."""
    import yolo_on_spark

    model = str(models.exported("tiny"))
    numbers = (
        spark.sparkContext.range(8, numSlices=8)
        .map(lambda _: (os.getpid(), id(yolo_on_spark.predictor_of(model))))
        .collect()
    )
    assert len(set(numbers)) == len({process for process, _ in numbers}) <= 2


def test_the_page_shows_the_recipe():
    assert RECIPE.read_text() in [block.code for block in blocks(PAGE, "text")]
