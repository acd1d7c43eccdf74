import re
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeseg.report.charts import LEFT, RIGHT, WIDTH, Axis, density, front, groups, roofline, scatter

PEAKS = {"float32_macs_per_s": 100e9, "int8_macs_per_s": 400e9, "bytes_per_s": 10e9, "how": ""}


def shapes(svg, tag):
    return ElementTree.fromstring(svg).findall(f".//{tag}")


def test_a_distribution_is_highest_where_values_are_dense():
    # Half of the values lie between 1 and 1.1, the others between 1.1 and 2.
    svg = density([1.0, 1.05, 1.1, 1.5, 2.0], 1.0, 2.0)
    path = [tuple(map(float, point.split())) for point in re.findall(r"[\d.]+ [\d.]+", shapes(svg, "path")[0].get("d"))]
    highest = min(y for _, y in path)
    assert all(x <= 10 for x, y in path if y == highest)
    assert float(shapes(svg, "line")[0].get("x1")) == pytest.approx(10)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0.001, 1e4), min_size=2, max_size=12))
def test_any_quantiles_make_a_curve_inside(values):
    values = sorted(values)
    svg = density(values, values[0], values[-1])
    numbers = [float(n) for n in re.findall(r"-?[\d.]+", shapes(svg, "path")[0].get("d"))]
    assert all(-0.01 <= n <= 100.01 for n in numbers)


def test_axes():
    axis = Axis([3, 40], 0, 100, log=True)
    assert axis.ticks() == [2, 5, 10, 20, 50]
    assert (axis(2), axis(10), axis(50)) == pytest.approx((0, 50, 100))
    assert Axis([0.4, 30_000], 0, 100, log=True).ticks() == [1, 10, 100, 1000, 10_000]  # 0.2 to 50,000
    assert Axis([10], 0, 100, log=True).ticks() == [5, 10]
    linear = Axis([0.8, 0.9], 0, 100, log=False)
    assert 0 < linear(0.8) < linear(0.9) < 100
    assert 2 <= len(linear.ticks()) <= 6
    assert 0 < Axis([0.5], 0, 100, log=False)(0.5) < 100  # one value alone


def test_what_nothing_beats():
    #            both beaten   best: quick, best: good, worse in both, equal to a best one
    assert front([(3, 0.8), (1, 0.7), (4, 0.9), (5, 0.85), (4, 0.9)]) == {0, 1, 2, 4}
    assert front([]) == set()


def test_points_lie_in_the_frame_and_are_numbered():
    svg = scatter([(2.5, 0.95), (40.0, 0.97), (30, 0.9)], "median ms", "iou/<val>")
    assert [t.text for t in shapes(svg, "text") if t.get("class") == "number"] == ["1", "2", "3"]
    assert all(LEFT <= float(c.get("cx")) <= WIDTH - RIGHT for c in shapes(svg, "circle"))
    assert len([c for c in shapes(svg, "circle") if "best" in c.get("class")]) == 2
    assert scatter([], "x", "y") == ""


def test_ticks_have_the_decimals_of_their_step():
    axis = Axis([0.933, 0.946], 0, 100, log=False)
    assert [axis.named(tick) for tick in axis.ticks()] == ["0.932", "0.936", "0.940", "0.944"]


def test_points_that_hide_one_another_share_a_label():
    # 1 and 3 are one place; 2 is 10 from 3, and 4 is 10 from 2; 5 is far away.
    assert groups([(0, 0), (10, 0), (0, 0), (20, 0), (100, 0)]) == [[0, 1, 2, 3], [4]]
    svg = scatter([(2.0, 0.9), (40.0, 0.95), (2.0, 0.9)], "ms", "IoU")
    assert [t.text for t in shapes(svg, "text") if t.get("class") == "number"] == ["1, 3", "2"]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0.01, 1e4), st.floats(0, 1)), min_size=1, max_size=8))
def test_every_point_has_one_label_inside(points):
    svg = scatter(points, "ms", "IoU")
    labels = [t for t in shapes(svg, "text") if t.get("class") == "number"]
    assert sorted(int(n) for t in labels for n in t.text.split(", ")) == list(range(1, len(points) + 1))
    assert all(0 <= float(t.get("x")) <= WIDTH for t in labels)


def test_layers_under_the_roof():
    layer = {"name": "a<b", "macs": 1e6, "ms": 0.1, "intensity": 5.0, "operands": "int8"}
    idle = {"name": "pad", "macs": 0, "ms": 0.1, "intensity": 0.0, "operands": "int8"}
    svg = roofline([layer, idle], PEAKS)
    (point,) = shapes(svg, "circle")
    assert point.find("title").text == "a<b: 0.100 ms, 10.0 GMAC/s, 5.0 MACs a byte"
    assert [line.get("class") for line in shapes(svg, "polyline")] == ["roof int8"]
    assert roofline([idle], PEAKS) == ""
