"""Ranges worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib.observers import (
        BINS,
        LEVELS,
        MSE,
        OBSERVERS,
        MinMax,
        MovingAverage,
        Percentile,
        divergence,
        squared_error,
    )


def seen(observer, *tensors):
    made = observer()
    for tensor in tensors:
        made(torch.as_tensor(tensor, dtype=torch.float32))
    return made


@pytest.mark.parametrize(
    ("values", "scale", "zero_point"),
    [
        ([0.0, 255.0], 1.0, -128),
        ([-128.0, 127.0], 1.0, 0),
        ([1.0, 51.0], 0.2, -128),  # zero is always inside
        ([-51.0, -3.0], 0.2, 127),
        ([-1.0, 1.0], 2 / 255, 0),  # -128 + 127.5 is rounded to the even neighbour
    ],
)
def test_minmax(values, scale, zero_point):
    got_scale, got_zero_point = seen(MinMax, values).calculate_qparams()
    assert got_scale.item() == pytest.approx(scale)
    assert got_zero_point.item() == zero_point


@pytest.mark.parametrize("name", OBSERVERS)
def test_a_tensor_of_zeros_is_no_division_by_zero(name):
    scale, zero_point = seen(OBSERVERS[name], torch.zeros(4, 4)).calculate_qparams()
    assert scale.item() > 0
    assert zero_point.item() == -128


@pytest.mark.parametrize("name", OBSERVERS)
def test_an_observer_that_saw_nothing_says_so(name):
    with pytest.raises(RuntimeError, match="calibration pictures"):
        OBSERVERS[name]().calculate_qparams()


def test_one_outlier_is_given_up():
    low, high = seen(Percentile, torch.linspace(-1, 1, 200_001), [40.0]).range()
    assert (low, high) == (pytest.approx(-1.0, abs=0.03), pytest.approx(1.0, abs=0.03))  # a bin is 80 / 4096 wide


def test_mse_balances_rounding_and_clipping():
    """n values rounded to R / 255, and one of 40 clipped to R: n (R / 255)^2 / 12 + (40 - R)^2 is least at the R below."""
    n = 400_000
    best = 40 / (1 + n / 12 / 255**2)
    low, high = seen(MSE, torch.linspace(0, 1, n), [40.0]).range()
    assert (low, high) == (0.0, pytest.approx(best, rel=0.06))


def test_the_histogram_grows_and_loses_nothing():
    observer = seen(MinMax, [0.1, 0.2], [3.0], [-50.0, 0.0])
    assert observer.counts.sum() == 5
    assert (observer.least, observer.greatest) == (-50.0, 3.0)
    assert observer.reach >= 50


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=50), st.sampled_from(sorted(OBSERVERS)))
def test_zero_is_exact_and_the_range_lies_in_what_was_seen(values, name):
    assume(max(map(abs, values)) > 1e-3)
    observer = seen(OBSERVERS[name], values)
    scale, zero_point = (value.item() for value in observer.calculate_qparams())
    assert -128 <= zero_point <= 127
    step = scale * 1.001 + 1e-6
    assert (-128 - zero_point) * scale >= min([*values, 0]) - step
    assert (127 - zero_point) * scale <= max([*values, 0]) + step


def test_squared_error_by_hand():
    values, counts = np.array([0.0, 0.4, 255.0, 300.0]), np.array([7.0, 2.0, 1.0, 1.0])
    # steps of 1: 0.4 is stored as 0 (0.16, twice), 300 as 255 (45 squared)
    assert squared_error(values, counts, 0.0, 255.0) == pytest.approx(2 * 0.16 + 2025)


def test_divergence_is_zero_where_nothing_is_lost():
    values = np.arange(256.0)
    assert divergence(values, np.ones(256), 0.0, 255.0) == pytest.approx(0, abs=1e-12)
    assert divergence(values, np.linspace(1, 2, 256), 0.0, 100.0) > 0.01


def test_moving_average_by_hand():
    # 1, then 0.99 * 1 + 0.01 * 3 = 1.02, then 0.99 * 1.02 + 0.01 * 2 = 1.0298
    low, high = seen(MovingAverage, [-1.0, 1.0], [0.0, 3.0], [-2.0, 2.0]).range()
    assert (low, high) == (pytest.approx(-0.99 * 0.99 - 0.02), pytest.approx(1.0298))


def test_tensors_of_one_picture_count_once():
    observer = MovingAverage()
    observer.by_picture = True
    for tensors in ([[0.0, 1.0], [-4.0, 5.0]], [[0.0, 7.0], [0.0, 1.0]]):
        for values in tensors:
            observer(torch.tensor(values))
        observer.end_picture()
    # -4..5, then a hundredth of the way to 0..7
    assert observer.range() == (pytest.approx(-3.96), pytest.approx(5.02))


def test_one_collection_serves_every_policy():
    values = torch.randn(1, 4, 50, 50, generator=torch.Generator().manual_seed(0))
    one = seen(MinMax, values)
    for name, kind in OBSERVERS.items():
        assert one.range(name) == seen(kind, values).range()


def test_a_large_tensor_is_sampled_and_its_ends_are_exact():
    values = torch.linspace(0, 1, 1_000_000)
    values[12_345] = 9.0  # in no sample
    observer = seen(MinMax, values)
    assert observer.greatest == 9.0
    assert observer.counts.sum() == pytest.approx(1_000_000, rel=0.01)
    assert Percentile.range(observer, "percentile")[1] == pytest.approx(1.0, abs=0.01)


def test_a_chosen_range_is_kept():
    observer = seen(MSE, [0.0, 10.0])
    observer.chosen = (0.0, 255.0)
    scale, zero_point = observer.calculate_qparams()
    assert (scale.item(), zero_point.item()) == (1.0, -128)


def literal_threshold(counts, levels):
    """Migacz 2017, as on the slides: the number of bins of least divergence, for values that are never negative."""
    costs = {}
    for i in range(levels, len(counts) + 1):
        reference, kept = counts[:i].copy(), counts[:i]
        reference[-1] += counts[i:].sum()
        candidate = np.zeros(i)
        for part in np.array_split(np.arange(i), levels):
            filled = part[reference[part] > 0]
            candidate[filled] = kept[part].sum() / max(1, len(filled))
        p, q = reference / reference.sum(), np.maximum(candidate / candidate.sum(), 1e-9)
        costs[i] = (p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum()
    return min(costs, key=costs.get)


@pytest.mark.parametrize("shape", ["lognormal", "exponential"])
def test_entropy_cuts_where_the_published_algorithm_does(shape):
    values = getattr(np.random.default_rng(0), shape)(size=200_000)
    observer = OBSERVERS["entropy"]()
    for part in values.reshape(20, -1):  # pictures small enough to be counted in full
        observer(torch.tensor(part, dtype=torch.float32))
    half = observer.counts[BINS // 2 :].copy()
    half[0] = 0
    half = half[: np.flatnonzero(half)[-1] + 1]
    width = 2 * observer.reach / BINS
    expected = literal_threshold(half, LEVELS) * width
    # candidates are a 64th of the greatest value apart, and the least is flat
    assert observer.range()[1] == pytest.approx(expected, rel=0.15)
    assert observer.range()[1] < 0.9 * observer.greatest


def test_the_entropy_of_fewer_bins_than_levels_is_no_candidate():
    assert divergence(np.arange(100.0), np.ones(100), 0.0, 99.0) == np.inf
