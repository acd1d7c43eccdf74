"""From one report to another: what is noise, what is a file that became slower. The numbers are made, not measured."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.report.compare import LEAST, PRECISION, change, fair_rounds, is_precise
from edgeseg.report.latency import Timing


def row(ms, seed=0, machine=1.0, noise=0.02, busy=1.0, threads=1, repeats=10, blocks=60):
    """A row of a file of `ms`, on a machine `machine` times as slow; others leave it the processor for 1/`busy` of the time."""
    random = np.random.default_rng(seed)

    def times(value, scatter):
        return list(value * machine * np.exp(random.normal(0, scatter, blocks)))

    cpu, reference = times(ms, noise), times(0.1 * repeats, noise)
    waiting = busy * np.exp(random.normal(0, 0.4, (2, blocks))) if busy > 1 else np.ones((2, blocks))
    return {
        "threads": threads,
        "reference_repeats": repeats,
        "blocks": {
            "wall_ms": list(cpu * waiting[0]),
            "cpu_ms": cpu,
            "reference_wall_ms": list(reference * waiting[1]),
            "reference_cpu_ms": reference,
        },
    }


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "state", [{}, {"machine": 1.6}, {"busy": 10.0}, {"repeats": 13}], ids=lambda s: next(iter(s), "as it was")
)
def test_the_same_file_is_never_slower_and_a_slower_one_always(seed, state):
    old = row(3.0, seed)
    assert not change(old, row(3.0, 100 + seed, **state)).is_slower(0.05)
    assert change(old, row(3.0 * 1.15, 200 + seed, **state)).is_slower(0.05)
    assert change(row(3.0 * 1.15, 300 + seed, **state), old).is_faster(0.05)


def test_the_value_by_hand():
    found = change(row(3.0, noise=0), row(3.6, noise=0, machine=2.0))
    assert (found.value, found.low, found.high) == pytest.approx((1.2, 1.2 / LEAST, 1.2 * LEAST))
    assert str(found) == "+20.0 % (+17.6 to +22.4)"
    assert found.clock == "wall"


CLOCKS = [
    ("quiet", {}, "wall"),
    ("busy", {"busy": 10.0}, "processor"),
    ("busy, two threads", {"busy": 10.0, "threads": 2}, "wall"),
]


@pytest.mark.parametrize(("state", "clock"), [c[1:] for c in CLOCKS], ids=[c[0] for c in CLOCKS])
def test_which_clock_is_believed(state, clock):
    assert change(row(3.0, threads=state.get("threads", 1)), row(3.0, 1, **state)).clock == clock


def test_too_little_to_compare():
    assert change(row(3.0), {"threads": 1}) is None
    assert change(row(3.0, blocks=4), row(3.0)) is None


def beside(row, name, ms):
    """`row` as measured beside a network of `ms`, called `name`."""
    count = len(row["blocks"]["wall_ms"])
    network = {"network_wall_ms": [ms] * count, "network_cpu_ms": [ms] * count}
    return row | {"network": name, "network_repeats": 2, "blocks": row["blocks"] | network}


def test_the_same_network_in_the_same_runtime_comes_before_arithmetic():
    old = beside(row(3.0, noise=0), "net, runtime 1", 4.0)
    # The runtime took half as long again, the arithmetic no longer: what the file takes longer, the network does too.
    new = row(4.5, noise=0)
    assert change(old, beside(new, "net, runtime 1", 6.0)).value == pytest.approx(1.0)
    assert change(old, beside(new, "net, runtime 1", 4.0)).value == pytest.approx(1.5)
    # Another version of the runtime, or a report from before: it may be the runtime that has become slower.
    assert change(old, beside(new, "net, runtime 2", 6.0)).value == pytest.approx(1.5)
    assert change(old, new).value == pytest.approx(1.5)
    assert change(old | {"reference_work": 2}, beside(new, "net, runtime 1", 6.0)) is not None
    assert change(old | {"reference_work": 2}, beside(new, "net, runtime 2", 6.0)) is None


def test_other_reference_work_cannot_be_compared():
    now = row(3.0) | {"reference_work": 2}
    assert change(now, now) is not None
    assert change(row(3.0), now) is None
    assert change(row(3.0), row(3.0)) is not None  # both from before the key was there


@settings(deadline=None, max_examples=15)
@given(st.floats(0.5, 2), st.floats(0.5, 2))
def test_a_change_and_its_reverse(ms, machine):
    there, back = change(row(1.0, noise=0), row(ms, noise=0, machine=machine)), change(row(ms, noise=0), row(1.0, noise=0))
    assert there.value == pytest.approx(ms)
    assert there.value * back.value == pytest.approx(1)
    assert there.low <= there.value <= there.high


def timing(wall, cpu, reference_wall, reference_cpu):
    return Timing([[wall]] * 5, [[cpu]] * 5, reference=Timing([[reference_wall]] * 5, [[reference_cpu]] * 5))


FAIR = [
    ("a quiet machine", (3, 3, 1, 1), (1,), [[3]] * 5),
    ("somebody else at work", (30, 3, 10, 1), (1,), [[3]] * 5),
    ("two threads", (30, 3, 10, 1), (2,), [[30]] * 5),
]


@pytest.mark.parametrize(("times", "threads", "rounds"), [c[1:] for c in FAIR], ids=[c[0] for c in FAIR])
def test_files_of_one_report(times, threads, rounds):
    assert fair_rounds([timing(*times), timing(*times)], threads) == [rounds, rounds]
    assert fair_rounds([Timing([[7.0]])], threads) == [[[7.0]]]  # no reference: the clock


def spread(share, clock="both", blocks=101):
    """Blocks that lie evenly within `share` of 2 ms, beside a reference of 1 ms."""
    times = [[2.0 * (1 + share * (2 * i / (blocks - 1) - 1))] for i in range(blocks)]
    noisy = [[2.0 * (1 + 0.5 * (i % 2))] for i in range(blocks)]
    wall, cpu = (noisy if clock == "cpu" else times), (noisy if clock == "wall" else times)
    return Timing(wall, cpu, reference=Timing([[1.0]] * blocks, [[1.0]] * blocks))


# Of 101 blocks the interval of the median reaches 0.98 x sqrt(101) = 9.85 of them to either side, that is the 10th of 50:
# a fifth of the spread.
@pytest.mark.parametrize("clock", ["both", "wall", "cpu"])
def test_what_is_known_well_enough(clock):
    assert is_precise(spread(PRECISION * 4.9, clock))
    assert not is_precise(spread(PRECISION * 5.1, clock))
    assert is_precise(Timing([[1.0], [9.0]], [[1.0], [9.0]]))  # no reference: there is nothing to wait for
