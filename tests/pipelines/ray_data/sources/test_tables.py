import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import IMAGES
from tftrt_yolo import ImageError
from tftrt_yolo.pipelines.ray_data import listing
from tftrt_yolo.pipelines.ray_data.source_options import BatchSourceOptions

_FILES = [path.read_bytes() for path in IMAGES[:5]]
_HUGGING_FACE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def _items(source, column="image", **options):
    return list(listing.items(BatchSourceOptions(source=source, image_column=column, **options)))


def _contents(items):
    return [one for item in items for one in listing.read(item)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(_FILES, pa.binary()),
        pa.array(_FILES, pa.large_binary()),
        pa.array(_FILES, pa.binary_view()),
        pa.array(_FILES, pa.binary()).dictionary_encode(),
        pa.array([{"bytes": data, "path": "a.jpg"} for data in _FILES], _HUGGING_FACE),
    ],
    ids=lambda column: str(column.type),
)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_each_row_is_an_image(tmp_path, column, scheme):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"label": range(5), "picture": column}), path, row_group_size=2)
    items = _items(f"{scheme}{path}", "picture")
    assert [(item.kind, item.first, item.count) for item in items] == [("rows", 0, 2), ("rows", 2, 2), ("rows", 4, 1)]
    assert _contents(items) == [(f"{scheme}{path}#{row}", data) for row, data in enumerate(_FILES)]
    assert _contents(items[1:2]) == [(f"{scheme}{path}#{row}", _FILES[row]) for row in (2, 3)]  # on a node of its own


def test_a_part_of_a_row_group_is_read_alone(tmp_path):
    """The job cuts items, in whichever row it likes."""
    path, rows = tmp_path / "rows.parquet", [b"%d" % row for row in range(250)]
    pq.write_table(pa.table({"image": rows}), path, row_group_size=100)
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "none.parquet")
    with pytest.raises(ImageError, match=r"none\.parquet has no row\. Expected Parquet tables with images in a column"):
        _items(tmp_path / "none.parquet")
    items = _items(tmp_path)
    assert [(item.first, item.count) for item in items] == [(0, 100), (100, 100), (200, 50)]
    for first, count in ((0, 1), (31, 2), (99, 1), (100, 100), (163, 37), (249, 1)):
        item = dataclasses.replace(items[min(first // 100, 2)], first=first, count=count)
        assert [data for _, data in _contents([item])] == rows[first : first + count]


def test_a_folder_of_tables_in_order(tmp_path):
    for name in ("b.parquet", "a.parquet", "deep/c.pq"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"image": [name.encode()]}), tmp_path / name)
    (tmp_path / "a.jpg").write_bytes(_FILES[0])  # none of a table
    assert [data for _, data in _contents(_items(tmp_path))] == [b"a.parquet", b"b.parquet"]
    assert [data for _, data in _contents(_items(tmp_path, recursive=True))] == [
        b"a.parquet",
        b"b.parquet",
        b"deep/c.pq",
    ]
    assert [data for _, data in _contents(_items(f"{tmp_path}/*.parquet"))] == [b"a.parquet", b"b.parquet"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"image": ["a.jpg"], "jpeg": [b"1"]},
            r"The column image of .*rows\.parquet is of type string\. Expected the bytes of image files: binary, or "
            r"struct<bytes: binary, path: string> as Hugging Face's datasets write it\. There is jpeg\.$",
        ),
        ({"image": [[1, 2]]}, r"is of type list<.*: int64>\. Expected"),
        ({"image": [{"path": "a.jpg"}]}, r"is of type struct<path: string>\. Expected"),
        (
            {"label": [1], "jpeg": [b"1"]},
            r"rows\.parquet has no column 'image'\. It has 2 columns: label \(int64\), jpeg \(binary\)\. "
            r"Expected .* in image_column\.$",
        ),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path, table, message):
    pq.write_table(pa.table(table), tmp_path / "rows.parquet")
    with pytest.raises(ImageError, match=message):
        _items(tmp_path)


def test_what_is_no_table(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ImageError, match=r"rows\.parquet is no Parquet file that can be read: .* Expected a table"):
        _items(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"^image_column is ''; it must be the name of a column\.$"):
        BatchSourceOptions(source=tmp_path, image_column="")


def test_rows_without_bytes_and_damaged_rows_have_reasons(tmp_path):
    path = tmp_path / "rows.parquet"
    rows = [{"bytes": None, "path": "a.jpg"}, None, {"bytes": _FILES[0], "path": None}]
    pq.write_table(pa.table({"image": pa.array(rows, _HUGGING_FACE)}), path)
    [_, _, good] = contents = [content for _, content in _contents(_items(path))]
    assert str(contents[0]) == (
        f"Row 0 of {path} has a path alone, 'a.jpg', in its column image. Expected the bytes of an image file."
    )
    assert "Row 1 of" in str(contents[1])
    assert "has nothing" in str(contents[1])
    assert good == _FILES[0]

    pq.write_table(pa.table({"image": _FILES}), path, row_group_size=2, use_dictionary=False, compression="none")
    items, data = _items(path), bytearray(path.read_bytes())
    start = data.index(_FILES[2])
    data[start - 16 : start] = bytes(16)  # the head of its page, and the first length
    path.write_bytes(data)
    first, second, third = map(_contents, ([item] for item in items))
    assert [content for _, content in (*first, *third)] == [_FILES[0], _FILES[1], _FILES[4]]
    assert [name for name, _ in second] == [f"{path}#2", f"{path}#3"]
    assert all("cannot be read: " in str(error) for _, error in second)
    pq.write_table(pa.table({"image": _FILES[:2]}), path)  # another in its place
    assert "the table has fewer rows than when it was listed" in str(_contents(items)[-1][1])
