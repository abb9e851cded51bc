"""The stand-in's runtime by TensorRT's rules: engines, profiles, contexts and batches, called through its tables."""

import threading

import numpy as np
import pytest

from tests.preflighting.rehearsal.calls import MAX, MIN, OPT
from tests.preflighting.rehearsal.conftest import INPUT
from tftrt_yolo.preflighting.rehearsal import runtime as python_half

OUTPUT = "(Unnamed Layer* 0)_output_0"
ERROR = 1  # TensorRT's severity
RNG = np.random.default_rng(0)


def _values(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def _said(log):
    """The one thing that was said; it is an error and says who speaks."""
    [(severity, words)] = log.said
    assert severity == ERROR
    return words.removeprefix("stand-in for TensorRT: ")


def test_what_an_engine_has(negated):
    """Bindings repeat for every profile, as TF-TRT counts on."""
    assert negated.bindings == [
        (INPUT, True, (-1, 2, 3), 0),
        (OUTPUT, False, (-1, 2, 3), 0),
        (f"{INPUT} [profile 1]", True, (-1, 2, 3), 0),
        (f"{OUTPUT} [profile 1]", False, (-1, 2, 3), 0),
    ]
    assert [negated.index(name) for name in (INPUT, OUTPUT, f"{OUTPUT} [profile 1]", "other")] == [0, 1, 3, -1]
    assert (negated.profiles, negated.layers, negated.device_memory) == (2, 1, 1 << 20)
    assert [negated.profile(0, 0, selector) for selector in (MIN, OPT, MAX)] == [(1, 2, 3), (4, 2, 3), (4, 2, 3)]
    # A binding of the first profile stands for that of any other; an output has none, and other numbers are none.
    assert negated.profile(0, 1, MIN) == negated.profile(2, 1, MIN) == (8, 2, 3)
    assert [negated.profile(*numbers) for numbers in ((2, 0, MIN), (1, 0, MIN), (0, 2, MIN), (4, 0, MIN))] == [None] * 4


def test_batches_of_all_profiles(negated):
    contexts = [negated.context(), negated.context(1)]
    for context, sizes in zip(contexts, ((1, 3, 4), (8,)), strict=True):
        for size in sizes:
            values = _values(size, 2, 3)
            found = context.run({INPUT: values})
            np.testing.assert_array_equal(found[OUTPUT], -values)
    for context in contexts:
        context.delete()


def test_it_is_written_read_and_forgotten(negated, runtime):
    content = negated.serialize()
    before = set(python_half._engines)
    negated.delete()
    assert len(before) - len(set(python_half._engines)) == 1
    engine = runtime.deserialize(content)
    values = _values(2, 2, 3)
    np.testing.assert_array_equal(engine.context().run({INPUT: values})[OUTPUT], -values)
    assert engine.serialize() == content
    assert engine.profiles == 2
    engine.delete()
    assert len(python_half._engines) == len(before) - 1
    assert runtime.log.said == []


def test_an_engine_in_threads(negated):
    """TF-TRT runs it in TensorFlow's threads; each has a context of its own here, and Python's lock is shared."""
    contexts = [negated.context() if not number else negated.context(0) for number in range(4)]
    for context in contexts[1:]:
        assert context.set_profile(0)
    values, found = [_values(3, 2, 3) for _ in contexts], {}

    def run(number):
        for _ in range(20):
            found[number] = contexts[number].run({INPUT: values[number]})[OUTPUT]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(contexts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, array in enumerate(values):
        np.testing.assert_array_equal(found[number], -array)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5, 2, 3), f"{INPUT} is given (5, 2, 3); profile 0 takes (1, 2, 3) to (4, 2, 3)"),
        ((0, 2, 3), f"{INPUT} is given (0, 2, 3); profile 0 takes (1, 2, 3) to (4, 2, 3)"),
        ((2, 2, 4), f"{INPUT} is given (2, 2, 4); profile 0 takes (1, 2, 3) to (4, 2, 3)"),
        ((2, 2), f"{INPUT} is given (2, 2); profile 0 takes (1, 2, 3) to (4, 2, 3)"),
    ],
)
def test_shapes_outside_a_profile(negating, negated, shape, said):
    context = negated.context()
    assert context.set_shape(INPUT, (2, 2, 3))
    assert not context.set_shape(INPUT, shape)
    assert _said(negating.log) == said
    assert context.shape(INPUT) == (2, 2, 3)


def test_a_context_without_a_profile(negating, negated):
    """The second context has none until one is set."""
    negated.context()
    context = negated.context()
    assert not context.set_shape(INPUT, (2, 2, 3))
    assert _said(negating.log) == "binding 0 is no input of profile -1"
    assert (context.is_specified, context.shape(OUTPUT)) == (False, None)
    negating.log.said.clear()
    assert not context.set_profile(2)
    assert _said(negating.log) == "there is no profile 2 of 2"
    assert context.set_profile(1)
    assert (context.is_specified, context.shape(OUTPUT)) == (False, None)
    context.profile = 1
    assert context.set_shape(INPUT, (8, 2, 3))
    assert context.shape(OUTPUT) == (8, 2, 3)


def test_an_output_is_no_input(negating, negated):
    assert not negated.context().set_shape(OUTPUT, (2, 2, 3))
    assert _said(negating.log) == "binding 1 is no input of profile 0"


def test_a_fixed_shape_needs_no_profile(builder):
    builder.step("addInput", [INPUT, 0, [2, 3]])
    builder.step("addUnary", [0, 5])
    engine = builder.engine()
    assert (engine.profiles, engine.profile(0, 0, MAX)) == (1, (2, 3))
    context = engine.context()
    assert context.is_specified
    values = _values(2, 3)
    np.testing.assert_array_equal(context.run({INPUT: values})[OUTPUT], -values)


def test_outputs_whose_shape_is_more_than_the_batch(builder):
    """(batch, 2, 3) to (batch * 2, 3): found by a run over zeros."""
    builder.step("addInput", [INPUT, 0, [-1, 2, 3]])
    builder.step("addShuffle", [0], {"setReshapeDimensions": [-1, 3]})
    builder.add_profile(INPUT, (1, 2, 3), (4, 2, 3), (4, 2, 3))
    values = _values(4, 2, 3)
    found = builder.engine().context().run({INPUT: values})
    np.testing.assert_array_equal(found[OUTPUT], values.reshape(8, 3))


def test_integers(builder):
    builder.step("addInput", [INPUT, 3, [-1, 2]])
    builder.step("addElementWise", [0, 0, 0])
    builder.add_profile(INPUT, (1, 2), (4, 2), (4, 2))
    engine = builder.engine()
    assert [kind for _, _, _, kind in engine.bindings] == [3, 3]
    values = np.arange(6, dtype=np.int32).reshape(3, 2)
    found = engine.context().run({INPUT: values})[OUTPUT]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, 2 * values)


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        ([], f"open: {INPUT} is (-1, 2, 3) and no profile says how large; expected one at least"),
        ([("other", (1, 2, 3), (1, 2, 3), (1, 2, 3))], f"open: profile 0 gives {INPUT} (), (), (); expected a least"),
        (
            [(INPUT, (2, 2, 3), (1, 2, 3), (4, 2, 3))],
            "open: profile 0 gives .*(2, 2, 3), (1, 2, 3), (4, 2, 3); expected",
        ),
        ([(INPUT, (1, 2, 3), (1, 2, 4), (1, 2, 4))], "open: profile 0 gives .*(1, 2, 4); expected a least"),
        ([(INPUT, (0, 2, 3), (1, 2, 3), (1, 2, 3))], "open: profile 0 gives .*(0, 2, 3), (1, 2, 3)"),
        ([(INPUT, (1, 2, 3), (1, 2, 3), (1, 2, 3))] * 33, "it takes 64 inputs and outputs and 32 profiles at most"),
    ],
)
def test_profiles_that_do_not_fit(negating, profiles, said):
    """TensorRT would build no engine."""
    for profile in profiles:
        negating.add_profile(*profile)
    assert negating.engine() is None
    start, _, rest = said.partition(".*")
    words = _said(negating.log)
    assert words.startswith(start)
    assert rest in words


def test_what_nobody_computes_is_not_built(negating, monkeypatch):
    monkeypatch.delitem(python_half.KINDS, "UNARY")
    negating.add_profile(INPUT, (1, 2, 3), (1, 2, 3), (1, 2, 3))
    assert negating.engine() is None
    assert _said(negating.log).startswith("open: it has layers of kind UNARY; expected ACTIVATION, ")


def test_an_error_of_python_is_a_batch_that_fails(negating, negated, monkeypatch):
    def fail(*_):
        raise MemoryError("no memory")

    context = negated.context()
    assert context.set_shape(INPUT, (1, 2, 3))
    assert context.shape(OUTPUT) == (1, 2, 3)
    monkeypatch.setattr(python_half, "execute", fail)
    assert context.run({INPUT: _values(1, 2, 3)}) is None
    assert _said(negating.log) == "enqueue: no memory (MemoryError)"


def test_a_result_of_another_shape_is_not_written(negating, negated, monkeypatch):
    """Nothing is written beyond what TF-TRT allocated."""
    context = negated.context()
    context.run({INPUT: _values(1, 2, 3)})  # by which the shape is known
    monkeypatch.setattr(python_half, "execute", lambda *_: {OUTPUT: np.zeros((64, 2, 3), np.float32)})
    assert context.run({INPUT: _values(1, 2, 3)}) is None
    assert _said(negating.log) == f"enqueue: {OUTPUT} is (64, 2, 3); TF-TRT was told (1, 2, 3) (ValueError)"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("build", "a rehearsal of an engine that cannot be built, as was asked for"),
        ("memory", "a rehearsal of a GPU without memory, as was asked for: out of memory"),
    ],
)
def test_an_engine_that_is_not_built(negating, monkeypatch, what, said):
    monkeypatch.setenv("TFTRT_YOLO_REHEARSAL_FAILS", what)
    negating.add_profile(INPUT, (1, 2, 3), (1, 2, 3), (1, 2, 3))
    assert negating.engine() is None
    assert _said(negating.log) == said


def test_an_engine_that_does_not_run(negating, negated, monkeypatch):
    context = negated.context()
    monkeypatch.setenv("TFTRT_YOLO_REHEARSAL_FAILS", "enqueue")
    assert context.run({INPUT: _values(1, 2, 3)}) is None
    assert _said(negating.log) == "a rehearsal of an engine that does not run, as was asked for"


def test_an_engine_that_cannot_be_read(negated, runtime, monkeypatch):
    monkeypatch.setenv("TFTRT_YOLO_REHEARSAL_FAILS", "deserialize")
    assert runtime.deserialize(negated.serialize()) is None
    assert _said(runtime.log) == "a rehearsal of an engine that cannot be read, as was asked for"


def test_every_call_is_printed_if_that_is_asked_for(negated, monkeypatch, capfd):
    monkeypatch.setenv(python_half.LOG, "1")
    negated.context().run({INPUT: _values(2, 2, 3)})
    printed = capfd.readouterr().err
    for words in ("setBindingDimensions(0, (2, 2, 3)) in profile 0", "enqueueV2 of engine", f"{INPUT} (2, 2, 3)"):
        assert words in printed
    monkeypatch.delenv(python_half.LOG)
    negated.context(0).set_profile(1)
    assert capfd.readouterr().err == ""
