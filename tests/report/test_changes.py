"""Which report is compared with which, and what is said of it."""

import pytest

from edgeseg.report.changes import steps, to_json, to_markdown
from tests.report.pages import report

PI = {"board": "Raspberry Pi 5 Model B Rev 1.0"}
INT8, FLOAT = "person-256x256-int8.tflite", "person-256x256-float32.onnx"


def verdicts(named, tolerance=0.05):
    return [(s.file, s.before, s.after, s.verdict(tolerance)) for s in steps(named)]


def test_runs_of_one_machine_in_order():
    named = [("a", report()), ("b", report(1.2, seed=1)), ("c", report(1.2, seed=2))]
    assert verdicts(named) == [
        (INT8, "a", "b", "SLOWER"),
        (FLOAT, "a", "b", "SLOWER"),
        (INT8, "b", "c", "no difference"),
        (FLOAT, "b", "c", "no difference"),
    ]
    assert [v for *_, v in verdicts(named[::-1])] == ["no difference"] * 2 + ["faster"] * 2


def test_machines_are_not_compared_with_one_another():
    named = [("a", report()), ("pi", report(3, PI)), ("b", report(seed=1)), ("pi2", report(3, PI, seed=1))]
    assert {(before, after) for _, before, after, _ in verdicts(named)} == {("a", "b"), ("pi", "pi2")}


def test_a_tolerance_of_the_users_own():
    named = [("a", report()), ("b", report(1.2, seed=1))]
    assert {v for *_, v in verdicts(named, 0.3)} == {"no difference"}


def test_a_file_that_an_older_report_lacks_is_found_in_the_one_before():
    middle = report(1.1)
    middle["results"] = middle["results"][1:]
    named = [("a", report()), ("b", middle), ("c", report(seed=1))]
    assert (INT8, "a", "c", "no difference") in verdicts(named)
    assert (FLOAT, "b", "c", "faster") in verdicts(named)


def test_without_blocks_nothing_is_said():
    old = report()
    for row in old["results"][:2]:
        del row["blocks"]
    assert {v for *_, v in verdicts([("a", old), ("b", report(1.5))])} == {"cannot tell"}


def test_reports_beside_other_reference_work_cannot_be_compared():
    new = report()
    new["results"][0] = new["results"][0] | {"reference_work": 2}
    first, second = steps([("a", report()), ("b", new)])
    assert (first.verdict(0.05), second.verdict(0.05)) == ("cannot tell", "no difference")
    assert first.note == "measured beside other reference work: measure both with one edgeseg"


def test_what_else_changed_is_noted():
    new = report(seed=1)
    new["device"] = new["device"] | {"throttled": True, "load_1min": 0.6}
    new["device"]["versions"] = {"edgeseg": "0.1.0", "onnxruntime": "2.0"}
    new["results"][0] = new["results"][0] | {"size_bytes": 1}
    first, second = steps([("a", report()), ("b", new)])
    assert first.note == "onnxruntime 1.31.1 -> 2.0, another file of that name, a machine throttled, beside other work"
    assert second.note == "onnxruntime 1.31.1 -> 2.0, a machine throttled, beside other work"


def test_in_words_and_as_data():
    named, failures = [("a.json", report()), ("b.json", report(1.2, seed=1))], [("c.json", "cannot be read")]
    found = steps(named)
    text = to_markdown(named, found, failures, 0.05)
    for needle in (
        "SLOWER",
        "a.json: 2.50 ms",
        "b.json: 3.00 ms",
        "c.json",
        "cannot be read",
        "a.json: broken.onnx",
        "3.00 (3.15)",
    ):
        assert needle in text
    data = to_json(named, found, failures, 0.05)
    assert data["changes"][0]["change"]["value"] == pytest.approx(1.2, rel=0.01)
    assert data["changes"][0]["verdict"] == "SLOWER"
    assert data["failures"] == [{"path": "c.json", "error": "cannot be read"}]
