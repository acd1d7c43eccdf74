"""Quantisation-aware training of a network of three layers. `tests/compress/shapes.py` has it and its pictures."""

import csv
import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from edgeseg.errors import ModelError
from edgeseg.export.quiet import quiet
from edgeseg.export.rewrites import rewrite
from edgeseg.models.checkpoint import ModelCard

with quiet():
    from edgeseg.calib.observers import MSE, MinMax
    from edgeseg.compress import quantize
    from edgeseg.compress.fake_quantised import FakeQuantised, calibrate
    from edgeseg.compress.qat import Average, Plan, fine_tune, saved_places
    from edgeseg.compress.ranges import Fixed, apply_ranges

from tests.compress.shapes import SIZE, batches, iou, loss, made_hard, trained

PLAN = Plan(epochs=4, learning_rate=0.3, scale_rate=0.02, average=0.9)


@pytest.fixture(scope="module")
def network():
    return trained()


def student_of(network, observer=MSE, places=None):
    with quiet():
        places = places or calibrate(network, rewrite, SIZE, observer, [image for image, _ in batches(500, 3)])
        return FakeQuantised(network, rewrite, SIZE, places)


def tune(student, out, plan=PLAN, *, teacher=None, resume=False, tell=lambda line: None, of=loss):
    card = ModelCard("enet", name="tiny")
    return fine_tune(
        student, teacher, card, batches, 12, of, lambda n: {"iou": iou(n)}, out, plan, resume=resume, tell=tell
    )  # fmt: skip


def converted(network, ranges):
    with quiet(), torch.no_grad():
        prepared = quantize.prepare(rewrite(network), SIZE, Fixed, batches=True)
        apply_ranges(prepared, ranges)
        return quantize.convert(prepared)


def test_it_begins_with_what_post_training_quantisation_gives(network):
    student = student_of(network)
    image, _ = next(batches(7))
    graph = converted(network, student.ranges())
    with torch.no_grad():
        step = student.ranges()["conv2d_2"][0]
        steps = ((student(image) - graph(image)) / step).abs()
        assert steps.max() <= 1.01  # a value halfway between two levels may go either way
        assert (steps > 0.5).float().mean() < 0.02
        assert torch.equal(student.network()(image), FakeQuantised.network(student)(image))
        torch.testing.assert_close(student.network()(image), network(image), rtol=1e-4, atol=1e-4)


def test_training_recovers_what_quantisation_has_cost(network, tmp_path):
    hard = made_hard(trained(), 300)
    student = student_of(hard, MinMax)
    before = iou(student)
    scores = tune(student, tmp_path, dataclasses.replace(PLAN, epochs=8), teacher=hard)
    assert iou(hard) > 0.88
    assert before < 0.3
    assert scores["iou"] > 0.65
    assert iou(converted(student.network(), student.ranges())) > 0.6  # not the average, but what its last step gave


def test_resuming_gives_the_same_to_the_bit(network, tmp_path):
    """Four epochs at once, and two, a kill in the third, and a resumption."""
    torch.set_num_threads(1)
    student = student_of(network)
    once = tune(student, tmp_path / "once", teacher=network)
    calls = iter(range(12 * 2 + 5))

    def killed(logits, truth):
        next(calls)  # StopIteration in the third epoch
        return loss(logits, truth)

    with pytest.raises(StopIteration):
        tune(student_of(network), tmp_path / "twice", teacher=network, of=killed)
    lines = []
    resumed = student_of(network, places=saved_places(tmp_path / "twice"))
    twice = tune(resumed, tmp_path / "twice", teacher=network, resume=True, tell=lines.append)
    assert lines[0] == "resuming after epoch 2"
    assert [line.split("  ")[0] for line in lines[1:]] == ["epoch 3", "epoch 4"]
    assert twice == once
    assert resumed.ranges() == student.ranges()
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters(), student.parameters(), strict=True))
    assert (tmp_path / "once" / "last.safetensors").read_bytes() == (tmp_path / "twice" / "last.safetensors").read_bytes()
    with (tmp_path / "twice" / "log.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4"]
    assert sorted(p.name for p in (tmp_path / "twice").iterdir()) == ["last.safetensors", "log.csv", "state.pt"]


def test_scales_rest_late(network, tmp_path):
    ranges = []
    plan = dataclasses.replace(PLAN, freeze=0.5)
    student = student_of(network)
    fine_tune(
        student, None, ModelCard("enet"), batches, 12, loss, lambda n: ranges.append(n.ranges()) or {}, tmp_path, plan,
        tell=lambda line: None,
    )  # fmt: skip
    own = student.ranges()
    assert own["image"] == (pytest.approx(1 / 255), -128)  # a frame's bytes are exact, and stay so
    moved = [name for name in own if abs(own[name][0] / student.places[name].scale - 1) > 1e-4]
    assert set(moved) == {"relu", "relu_1", "conv2d_2"}
    assert all(scale <= student.places[name].greatest * 1.000001 for name, (scale, _) in own.items())
    half = student_of(network)
    fine_tune(
        half, None, ModelCard("enet"), batches, 12, loss, lambda n: {}, tmp_path / "half",
        dataclasses.replace(plan, epochs=2, freeze=1.0), tell=lambda line: None,
    )  # fmt: skip
    assert ranges[3] != ranges[2]  # the average still comes nearer to the scales that rest
    assert half.ranges() != own


def test_the_checkpoint_holds_the_averages(network, tmp_path):
    student = student_of(network)
    tune(student, tmp_path, dataclasses.replace(PLAN, epochs=1))
    weight = load_file(tmp_path / "last.safetensors")["head.weight"]
    assert not torch.equal(weight, student.network().head.weight)  # the last step's
    torch.testing.assert_close(weight, student.network().head.weight, rtol=0.2, atol=0.2)


def test_an_average_by_hand(network):
    student = student_of(network)
    average = Average(student, decay=0.5)
    with torch.no_grad():
        student.moved.fill_(1.0)
    average.update(student)  # decay (1 + 1) / (10 + 1): 0 -> 1 - 2/11
    assert average.values[0][0].item() == pytest.approx(9 / 11)
    with average.held_by(student):
        assert student.moved[0].item() == pytest.approx(9 / 11)
    assert student.moved[0].item() == 1


def test_time_ends_it_within_an_epoch(network, tmp_path):
    lines = []
    tune(student_of(network), tmp_path, dataclasses.replace(PLAN, epochs=1000, minutes=1e-6), tell=lines.append)
    assert [line.split("  ")[0] for line in lines] == ["before training", "epoch 1"]
    assert (tmp_path / "last.safetensors").is_file()


def test_what_cannot_be_resumed_is_said(network, tmp_path):
    with pytest.raises(ModelError, match=r"nothing to resume: .*state\.pt does not exist"):
        tune(student_of(network), tmp_path / "none", resume=True)
    (tmp_path / "state.pt").write_bytes(b"PK no archive")
    with pytest.raises(ModelError, match=r"state\.pt cannot be read"):
        saved_places(tmp_path)
    torch.save({"epoch": 3, "network": {}}, tmp_path / "state.pt")
    with pytest.raises(ModelError, match="not a state of quantisation-aware training"):
        saved_places(tmp_path)
    tune(student_of(network), tmp_path / "run", dataclasses.replace(PLAN, epochs=1))
    with pytest.raises(ModelError, match="began from other weights"):
        tune(student_of(made_hard(trained(), 2)), tmp_path / "run", resume=True)


def test_a_loss_that_is_no_number_ends_it_and_leaves_what_was_there(network, tmp_path):
    tune(student_of(network), tmp_path, dataclasses.replace(PLAN, epochs=1))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(ModelError, match="the loss is nan in epoch 2"):
        tune(student_of(network), tmp_path, resume=True, of=lambda logits, truth: logits.mean() * torch.nan)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
