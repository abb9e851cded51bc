"""Where boxes stand: no two touch, edges run down and through no box, on graphs by the dozen."""

import random

import pytest

from tftrt_yolo.preflighting.drawing.layout import GAP, LEAD, STUB, arrange


def _graph(seed):
    """A graph without circles, its boxes of many sizes."""
    chance = random.Random(seed)
    count = chance.randint(2, 30)
    ends = {(chance.randrange(target), target) for target in range(1, count) for _ in range(chance.randint(0, 3))}
    widths = [chance.uniform(20, 300) for _ in range(count)]
    heights = [chance.uniform(20, 120) for _ in range(count)]
    return widths, heights, sorted(ends)


@pytest.mark.parametrize("seed", range(40))
def test_boxes_do_not_touch(seed):
    layout = arrange(*_graph(seed))
    for place, box in enumerate(layout.boxes):
        assert 0 < box.x < box.x + box.width < layout.width
        assert 0 < box.y < box.y + box.height < layout.height
        for other in layout.boxes[place + 1 :]:
            beside = box.x + box.width + GAP <= other.x + 1e-6 or other.x + other.width + GAP <= box.x + 1e-6
            above = box.y + box.height < other.y or other.y + other.height < box.y
            assert beside or above


@pytest.mark.parametrize("seed", range(40))
def test_edges_run_down_from_box_to_box(seed):
    widths, heights, ends = _graph(seed)
    layout = arrange(widths, heights, ends)
    assert len(layout.routes) == len(ends)
    for (source, target), route in zip(ends, layout.routes, strict=True):
        first, last = layout.boxes[source], layout.boxes[target]
        assert route[0][1] == first.y + first.height
        assert route[-1][1] == last.y
        assert first.x < route[0][0] < first.x + first.width
        assert last.x < route[-1][0] < last.x + last.width
        heights_passed = [y for _, y in route]
        assert heights_passed == sorted(heights_passed)
        assert len(route) % 2 == 0
        for upper, lower in zip(route[::2], route[1::2], strict=True):  # straight within a pair
            assert upper[0] == lower[0]


@pytest.mark.parametrize("seed", range(40))
def test_edges_run_through_no_box(seed):
    widths, heights, ends = _graph(seed)
    layout = arrange(widths, heights, ends)
    for route in layout.routes:
        for (x, top), (_, bottom) in zip(route[::2], route[1::2], strict=True):
            for box in layout.boxes:
                beside = x <= box.x or x >= box.x + box.width
                assert beside or bottom <= box.y or top >= box.y + box.height
        for (_, top), (_, bottom) in zip(route[1:-1:2], route[2::2], strict=True):  # curves stay between two rows
            for box in layout.boxes:
                assert bottom <= box.y or top >= box.y + box.height


def test_heads_stand_side_by_side():
    """What three scales give goes through heads of one row, however early a scale is ready."""
    ends = [(0, 1), (1, 2), (2, 3), (1, 4), (2, 5), (3, 6), (4, 7), (5, 7), (6, 7)]
    layout = arrange([100.0] * 8, [50.0] * 8, ends)
    assert len({layout.boxes[head].y for head in (4, 5, 6)}) == 1


def test_a_chain_is_straight():
    layout = arrange([100.0, 60.0, 200.0], [50.0] * 3, [(0, 1), (1, 2)])
    centers = [box.x + box.width / 2 for box in layout.boxes]
    assert max(centers) - min(centers) < 1e-6
    gaps = [lower.y - upper.y - upper.height for upper, lower in zip(layout.boxes, layout.boxes[1:], strict=False)]
    assert all(gap > STUB + LEAD for gap in gaps)


def test_crossings_are_taken_away():
    """Four pairs whose targets are in the opposite order."""
    ends = [(0, 7), (1, 6), (2, 5), (3, 4)]
    layout = arrange([50.0] * 8, [20.0] * 8, ends)
    ranks = sorted(ends, key=lambda pair: layout.boxes[pair[0]].x)
    assert [target for _, target in ranks] == sorted(
        (target for _, target in ends), key=lambda target: layout.boxes[target].x
    )


def test_the_same_graph_is_laid_out_the_same():
    assert arrange(*_graph(3)) == arrange(*_graph(3))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_boxes_without_edges(count):
    layout = arrange([10.0] * count, [10.0] * count, [])
    assert len(layout.boxes) == count
    assert layout.routes == ()
    assert min(layout.width, layout.height) > 0
