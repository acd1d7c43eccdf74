import time

from edgeseg.report.reference import LONGEST_MS, reference_like


def spin(ms):
    def work():
        end = time.perf_counter() + ms / 1e3
        while time.perf_counter() < end:
            pass

    return work


def test_a_longer_subject_has_a_longer_reference():
    short, long = reference_like(spin(1)), reference_like(spin(8))
    assert 1 <= short.repeats < long.repeats
    assert reference_like(lambda: None).repeats == 1
    long()


def test_there_is_a_longest():
    assert reference_like(spin(3 * LONGEST_MS)).repeats < 2 * reference_like(spin(LONGEST_MS)).repeats + 10


def test_no_other_thread_works():
    """One that spins beside the files, as OpenBLAS's do after a matrix product, makes them slower and the clocks useless."""
    work = reference_like(spin(1))
    own, all_threads = time.thread_time(), time.process_time()
    for _ in range(100):
        work()
    own, all_threads = time.thread_time() - own, time.process_time() - all_threads
    assert all_threads < 1.2 * own
