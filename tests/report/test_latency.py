"""The measuring is tested with a clock of its own: no test here depends on how fast the machine is."""

import gc
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeseg.report.compare import Ratio, speedup
from edgeseg.report.latency import MIN_ROUNDS, REFERENCE_RUNS, ROUND, Timing, measure, noise


class Clock:
    """A clock that only subjects move."""

    def __init__(self):
        self.now = 0
        self.calls = []

    def subject(self, name, ms, fails_at=None):
        def run():
            self.calls.append(name)
            if fails_at is not None and self.calls.count(name) == fails_at:
                raise RuntimeError(f"{name} broke")
            self.now += round(ms * 1e6)

        return run

    def __call__(self):
        return self.now


def test_files_take_turns_and_every_second_round_goes_back():
    clock = Clock()
    measure([clock.subject("a", 1), clock.subject("b", 2)], min_seconds=0, warmup=3, min_rounds=3, clock_ns=clock)
    a, b = "a" * (1 + ROUND), "b" * (1 + ROUND)  # the first of a block is not timed
    order = "aaa" + "bbb" + a + b + b + a + a + b
    assert "".join(clock.calls) == order


def test_at_least_fifty_runs_and_the_asked_time():
    clock = Clock()
    quick, slow = measure([clock.subject("quick", 1), clock.subject("slow", 100)], min_seconds=0.2, clock_ns=clock)
    assert ROUND * MIN_ROUNDS >= 50
    # 0.2 s of 1 ms runs are 200 runs, that is 40 rounds; the slow one takes part in all of them.
    assert (quick.runs, slow.runs) == (200, 200)
    assert quick.percentiles() == {"median": 1.0, "p90": 1.0, "p99": 1.0, "max": 1.0}
    assert slow.total_ms == 20_000


def test_the_first_run_of_a_block_is_not_timed():
    clock = Clock()
    cold = iter([100, 1, 1, 1, 1, 1] * 3)

    def subject():
        clock.now += next(cold) * 10**6

    (timing,) = measure([subject], min_seconds=0, warmup=0, min_rounds=3, clock_ns=clock)
    assert timing.rounds == [[1.0] * ROUND] * 3


def test_percentiles_by_hand():
    timing = Timing([[float(ms) for ms in range(1, 6)], [float(ms) for ms in range(6, 12)]])  # 1 .. 11
    assert timing.percentiles() == {"median": 6.0, "p90": 10.0, "p99": 10.9, "max": 11.0}
    assert timing.quantiles((0, 25, 100)) == [1.0, 3.5, 11.0]


def test_a_reference_follows_every_turn():
    clock = Clock()
    subjects = [clock.subject("a", 2), clock.subject("b", 4)]
    references = [clock.subject("r", 1), clock.subject("s", 3)]
    options = {"min_seconds": 0, "warmup": 0, "min_rounds": 2, "clock_ns": clock}
    a, b = measure(subjects, references=references, **options)
    one, other = "a" * (1 + ROUND) + "r" * (1 + REFERENCE_RUNS), "b" * (1 + ROUND) + "s" * (1 + REFERENCE_RUNS)
    assert "".join(clock.calls) == one + other + other + one
    assert a.reference.rounds == [[1.0] * REFERENCE_RUNS] * 2
    assert b.reference.rounds == [[3.0] * REFERENCE_RUNS] * 2
    # A turn of a is 6 x 2 ms, its reference 4 x 1 ms, of b 6 x 4 and 4 x 3. The timed ones begin one run later.
    assert a.starts_s == pytest.approx([0.002, 0.016 + 2 * 0.036 + 0.002])
    assert b.starts_s == pytest.approx([0.016 + 0.004, 0.016 + 0.036 + 0.004])
    assert measure(subjects, **options)[0].reference is None


@pytest.mark.parametrize(
    ("ms", "reference_ms", "rounds"),
    [
        (4.0, 4.0, 5),  # 0.1 s are five rounds of five runs
        (1.0, 1.0, 20),
        (0.01, 25 / REFERENCE_RUNS, 20),  # 25.05 ms a round: 0.5 s are spent after 20, where 0.1 s of its own runs were 2,000
    ],
)
def test_what_is_beside_a_tiny_network_does_not_take_for_ever(ms, reference_ms, rounds):
    clock = Clock()
    references = [clock.subject("r", reference_ms)]
    (timing,) = measure([clock.subject("a", ms)], min_seconds=0.1, references=references, min_rounds=1, clock_ns=clock)
    assert len(timing.rounds) == rounds


@pytest.mark.parametrize(
    ("known_after", "min_seconds", "rounds"),
    # 5 ms a round: 0.05 s are 10 rounds, at which it is asked first, and then after every 10; 4 times that is the end.
    [(10, 0.05, 10), (11, 0.05, 20), (35, 0.05, 40), (10**6, 0.05, 40), (10**6, 0, 10)],
)
def test_what_is_not_known_is_measured_for_longer(known_after, min_seconds, rounds):
    clock = Clock()
    timings = measure(
        [clock.subject("a", 1), clock.subject("b", 1)],
        min_seconds=min_seconds,
        enough=lambda timing: len(timing.rounds) >= known_after,
        clock_ns=clock,
    )
    assert [len(timing.rounds) for timing in timings] == [rounds, rounds]


def test_processor_time_is_noted_beside_the_clock():
    (timing,) = measure([lambda: time.sleep(0.002)], min_seconds=0, warmup=0, min_rounds=5)
    assert np.shape(timing.cpu) == np.shape(timing.rounds)
    assert np.median(timing.rounds) > 2
    assert np.median(timing.cpu) < 1  # it slept


@pytest.mark.parametrize("fails_at", [1, 3, 7], ids=["in the warm-up", "first of a block", "in a round"])
def test_one_that_fails_does_not_stop_the_others(fails_at):
    clock = Clock()
    bad, good = measure(
        [clock.subject("bad", 1, fails_at), clock.subject("good", 1)], min_seconds=0, warmup=2, min_rounds=4, clock_ns=clock
    )
    assert bad.error == "bad broke"
    assert clock.calls.count("bad") == fails_at
    assert (good.error, good.runs) == (None, 4 * ROUND)


def test_all_fail_or_there_is_none():
    clock = Clock()
    (bad,) = measure([clock.subject("bad", 1, 1)], clock_ns=clock)
    assert bad.error == "bad broke"
    assert measure([]) == []


def test_progress_ends_at_one_and_collection_is_switched_back():
    shares, clock = [], Clock()
    measure([clock.subject("a", 1)], min_seconds=0, warmup=0, min_rounds=4, clock_ns=clock, on_round=shares.append)
    assert shares == [0, 0.25, 0.5, 0.75, 1]
    assert gc.isenabled()


def test_a_drift_that_touches_both_cancels():
    drift = np.linspace(1, 3, 20)  # the machine gets three times slower
    ratio = speedup([[10 * d] * ROUND for d in drift], [[5 * d] * ROUND for d in drift])
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2, 2, 2))
    assert ratio.differs
    assert str(ratio) == "2.00x (2.00 to 2.00)"


RATIOS = [
    ("faster", Ratio(2.4, 2.3, 2.5), True),
    ("slower", Ratio(0.5, 0.4, 0.6), True),
    ("holds one", Ratio(1.1, 0.9, 1.3), False),
    ("sure but too little", Ratio(1.012, 1.011, 1.013), False),
    ("sure but too little, slower", Ratio(0.99, 0.985, 0.995), False),
]


@pytest.mark.parametrize(("ratio", "differs"), [c[1:] for c in RATIOS], ids=[c[0] for c in RATIOS])
def test_no_difference(ratio, differs):
    assert ratio.differs is differs
    assert ("no difference" in str(ratio)) is not differs


def test_too_few_rounds_say_nothing():
    assert speedup([[1.0]] * 4, [[2.0]] * 4) is None
    assert speedup([[1.0]] * 5, [[2.0]] * 5).value == 0.5


@given(st.lists(st.floats(0.1, 100), min_size=5, max_size=40), st.floats(0.1, 10))
def test_the_interval_holds_the_value(times, factor):
    reference = [[t] for t in times]
    shuffled = [[t * factor] for t in reversed(times)]
    ratio = speedup(reference, shuffled)
    assert ratio.low <= ratio.value <= ratio.high
    itself = speedup(reference, reference)
    assert (itself.low, itself.high, itself.differs) == (1, 1, False)


def test_noise_is_a_frame_and_the_same_every_time():
    assert noise((4, 6)).shape == (4, 6, 3)
    assert (noise((4, 6)) == noise((4, 6))).all()
    assert noise((4, 6)).std() > 0
