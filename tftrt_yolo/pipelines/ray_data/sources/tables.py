"""Parquet tables with a column of image files: which rows there are, and what a row holds.

for first, count in tables.row_groups("digits.parquet", "image"):
    for row, content in tables.rows("digits.parquet", "image", first, count):
        row, content                                    # 17, bytes of an image file

A column holds bytes, or structs of bytes and path as Hugging Face's datasets write images.
"""

import contextlib
import itertools
from collections.abc import Iterator

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.text import clause, counted, first_line, quoted, shown
from tftrt_yolo.pipelines.ray_data.sources import stores

_BYTES = "bytes"  # the field of Hugging Face's structs
_ROWS_AT_ONCE = 32  # in memory
_BUFFER_BYTES = 1 << 20
_MOST_NAMED = 20  # columns in a message


def row_groups(name: str, column: str) -> list[tuple[int, int]]:
    """The row groups of a table, which are what is read in order: rows in the middle of one cost those before them.

    Args:
      name: The table's path or URL.
      column: The column of images.

    Returns:
      First row and number of rows of each that has any.

    Raises:
      ImageError: If it is no Parquet file, has no such column, or the column holds something else.
    """
    with _opened(name) as table:
        _check(table.schema_arrow, name, column)
        counts = [table.metadata.row_group(index).num_rows for index in range(table.num_row_groups)]
    firsts = itertools.accumulate(counts, initial=0)
    return [(first, count) for first, count in zip(firsts, counts, strict=False) if count]


def rows(name: str, column: str, first: int, count: int) -> Iterator[tuple[int, bytes | ImageError]]:
    """Reads rows of a row group, a few at a time.

    Args:
      name: The table's path or URL.
      column: The column of images.
      first: The first row.
      count: How many are read.

    Yields:
      Each row's index in the table, and the bytes of its image file or why there are none.

    Raises:
      BatchError: If the table is in a store that does not answer any more.
    """
    following = first
    try:
        for value in itertools.islice(_values(name, column, first), count):
            yield following, _content(value, name, column, following)
            following += 1
        reason = "the table has fewer rows than when it was listed"
    except ImageError as error:
        reason = first_line(error)
    except (OSError, ValueError) as error:  # Arrow's are of these kinds, too
        stores.check_answers(name)
        reason = f"Parquet's reader says {first_line(error)}"
    for row in range(following, first + count):
        yield row, ImageError(f"Row {row:,} of {shown(name)} cannot be read: {reason}. Write the table anew.")


def _values(name: str, column: str, first: int) -> Iterator:
    """The values of a row and of those behind it in its row group."""
    with _opened(name) as table:
        _check(table.schema_arrow, name, column)
        begins = 0
        for group in range(table.num_row_groups):
            count = table.metadata.row_group(group).num_rows
            if begins <= first < begins + count:
                break
            begins += count
        else:
            return
        for batch in table.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=[column]):
            skipped = min(max(first - begins, 0), batch.num_rows)
            begins += batch.num_rows
            yield from batch.column(0).slice(skipped).to_pylist()


def _content(value: object, name: str, column: str, row: int) -> bytes | ImageError:
    """The bytes of a row's image, or why there are none."""
    path = value.get("path") if isinstance(value, dict) else None
    data = value.get(_BYTES) if isinstance(value, dict) else value
    if data is not None:
        return data
    what = f"a path alone, {quoted(path)}," if path else "nothing"
    return ImageError(
        f"Row {row:,} of {shown(name)} has {what} in its column {shown(column)}. Expected the bytes of an image file."
    )


@contextlib.contextmanager
def _opened(name: str) -> Iterator:
    """A table, closed in the end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with contextlib.ExitStack() as stack:
        try:
            source = stack.enter_context(stores.opened(name)) if stores.is_url(name) else name
            table = stack.enter_context(pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False))
        except (OSError, pa.ArrowException) as error:
            raise ImageError(
                f"{shown(name)} is no Parquet file that can be read: {clause(error)}. Expected a table with a "
                f"column of images."
            ) from error
        yield table


def candidates(name: str) -> list[str]:
    """The columns of a table that can be columns of images.

    Args:
      name: Its path or URL.

    Returns:
      Their names.

    Raises:
      ImageError: If it is no Parquet file.
    """
    with _opened(name) as table:
        return [field.name for field in table.schema_arrow if _is_of_images(field.type)]


def _check(schema, name: str, column: str) -> None:
    """Refuses a table that has no such column, or one of another type."""
    if column not in schema.names:
        named = ", ".join(f"{shown(field.name, 40)} ({shown(field.type, 60)})" for field in list(schema)[:_MOST_NAMED])
        raise ImageError(
            f"{shown(name)} has no column {quoted(column)}. It has {counted(len(schema), 'column')}: {named}. Expected "
            f"the name of its column of images in {argument('image_column')}."
        )
    kind = schema.field(column).type
    if not _is_of_images(kind):
        others = [field.name for field in schema if _is_of_images(field.type)]
        hint = f" There is {', '.join(shown(other, 40) for other in others)}." if others else ""
        raise ImageError(
            f"The column {shown(column)} of {shown(name)} is of type {shown(kind)}. Expected the bytes of image files: "
            f"binary, or struct<bytes: binary, path: string> as Hugging Face's datasets write it.{hint}"
        )


def _is_of_images(kind) -> bool:
    """Whether a column of this type can hold image files."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index(_BYTES)
        return index >= 0 and _is_bytes(kind.field(index).type)
    return _is_bytes(kind)


def _is_bytes(kind) -> bool:
    """Whether a type is bytes of any length; a dictionary of them counts."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
