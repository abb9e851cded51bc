"""TF-TRT's own calibrator: the stand-in asks it for batches until there is none, and gives it a table."""

import ctypes
import struct

import numpy as np
import pytest

from tests.preflighting.rehearsal.calls import typed
from tests.preflighting.rehearsal.conftest import INPUT
from tftrt_yolo.preflighting.rehearsal import calibration_table

ENTROPY_2, INT8 = 2, 1


class Calibrator:
    """TF-TRT's TRTInt8Calibrator, by its table."""

    def __init__(self, batches, table=b"", algorithm=ENTROPY_2):
        self.batches, self.table, self.names, self.algorithm = list(batches), table, [], algorithm
        pointer, integer, size = ctypes.c_void_p, ctypes.c_int32, ctypes.c_size_t
        kinds = (
            (integer, [pointer], lambda _: 2),
            (ctypes.c_bool, [pointer, ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_char_p), integer], self._batch),
            (pointer, [pointer, ctypes.POINTER(size)], self._read),
            (None, [pointer, pointer, size], self._write),
            (integer, [pointer], lambda _: self.algorithm),
        )
        self._functions = [ctypes.CFUNCTYPE(result, *given)(function) for result, given, function in kinds]
        self._table = (pointer * 7)(*(ctypes.cast(function, pointer) for function in self._functions))
        self._object = (pointer * 1)(ctypes.addressof(self._table))
        self.address = ctypes.addressof(self._object)

    def _batch(self, _, bindings, names, count):
        if not self.batches:
            return False
        self.names.append([names[i].decode() for i in range(count)])
        self._current = self.batches.pop(0)
        bindings[0] = self._current.ctypes.data
        return True

    def _read(self, _, length):
        length[0] = len(self.table)
        return ctypes.cast(ctypes.c_char_p(self.table), ctypes.c_void_p).value if self.table else None

    def _write(self, _, table, length):
        self.table = ctypes.string_at(table, length)


@pytest.fixture
def calibrated(negating):
    """Builds with a calibrator; gives the engine."""

    def build(calibrator, *, profile=(4, 2, 3), calibration_profile=(2, 2, 3)):
        negating.add_profile(INPUT, (1, 2, 3), profile, profile)
        if calibration_profile:
            made = negating.profile(INPUT, *[calibration_profile] * 3)
            assert typed(negating.config, 35, ctypes.c_bool, ctypes.c_void_p(made))
        typed(negating.config, 8, None, ctypes.c_void_p(calibrator.address))
        typed(negating.config, 15, None, ctypes.c_int32(INT8))
        return negating.engine()

    return build


def _batches(size=2):
    return [np.full((size, 2, 3), value, np.float32) for value in (1, -12.7, 3)]


def test_all_batches_are_seen(calibrated):
    calibrator = Calibrator(_batches())
    engine = calibrated(calibrator)
    assert calibrator.names == [[INPUT]] * 3
    title, *lines = calibrator.table.decode().splitlines()
    assert title == "TRT-8601-EntropyCalibration2"
    scales = dict(line.split(": ") for line in lines)
    assert list(scales) == [INPUT, "(Unnamed Layer* 0)_output_0"]
    for scale in scales.values():
        assert struct.unpack(">f", bytes.fromhex(scale))[0] == pytest.approx(0.1)
    values = np.ones((3, 2, 3), np.float32)
    found = engine.context().run({INPUT: values})
    np.testing.assert_array_equal(found["(Unnamed Layer* 0)_output_0"], -values)


def test_without_a_profile_of_its_own_the_first_ones_optimum_counts(calibrated):
    calibrator = Calibrator(_batches(4))
    assert calibrated(calibrator, calibration_profile=None) is not None
    assert calibrator.table


def test_a_table_that_is_there_is_taken(calibrated):
    calibrator = Calibrator(_batches(), table=b"TRT-8601-EntropyCalibration2\n")
    assert calibrated(calibrator) is not None
    assert (calibrator.names, len(calibrator.batches)) == ([], 3)


def test_no_batch_is_no_engine(negating, calibrated):
    calibrator = Calibrator([])
    assert calibrated(calibrator) is None
    assert calibrator.table == b""
    [(_, words)] = negating.log.said
    assert "write_table: the calibrator gave no batch; expected one at least (ValueError)" in words


def test_a_table_of_nothing():
    with pytest.raises(ValueError, match="the calibrator gave no batch"):
        calibration_table.text({})
