"""Recipes carried out on a tiny network: killed at any moment, they come to the same."""

from __future__ import annotations

import dataclasses
import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeseg.errors import DataError, ExportError, ModelError, OutputError, UsageError
from edgeseg.export.files import Accuracy
from edgeseg.models.checkpoint import load_model
from edgeseg.recipes.budget import Budget, Floor
from edgeseg.recipes.compression import Compression, open_compression, plan
from edgeseg.recipes.outcome import Outcome
from edgeseg.recipes.plan import Plan
from edgeseg.recipes.recipe import Recipe
from edgeseg.recipes.run import compress
from edgeseg.recipes.steps import Export, Finetune, LowRank, Prune, Qat, Separable, Step
from edgeseg.train.material import Folders

ROOT = Path(__file__).parents[2]
PRUNE = Prune(importance="taylor", rounds=1, batches=2)
TRAIN = Finetune(epochs=3, batch=8)
STEPS = (PRUNE, TRAIN)


def task(tiny: Path, data: Path, out: Path, *steps: Step, limit: float = 0.6, **options: Any) -> Compression:
    recipe = Recipe("mine", steps or STEPS, Budget({"macs": limit}), options.get("floor", Floor()))
    return open_compression(
        str(tiny), recipe, Folders([data]), out, seed=options.get("seed", 0), command="edgeseg compress tiny"
    )


PLANS: dict[str, Plan] = {}  # making one takes longer than what is planned


def done(one: Compression, tell: Callable[[str], None] = lambda line: None, resume: bool = False) -> Outcome:
    key = repr((one.recipe, one.minutes))
    PLANS[key] = PLANS.get(key) or plan(one)
    return compress(one, PLANS[key], resume=resume, tell=tell)


@pytest.fixture(scope="module")
def whole(tiny: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Of a run that nobody interrupted."""
    return done(task(tiny, data, tmp_path_factory.mktemp("whole") / "out"))


def test_every_step_is_kept_and_judged(whole: Outcome, tiny: Path) -> None:
    out = whole.path.parent
    original, pruned, trained = whole.rows
    names = {path.name for path in out.iterdir()}
    steps = {"original.safetensors", "step-1-prune.safetensors", "step-2-finetune.safetensors", "compressed.safetensors"}
    assert {*steps, "step-2-finetune", "state.json", "report.json", "report.md"} == names
    assert not (out / "step-2-finetune" / "state.pt").exists()
    assert pruned.costs.macs == trained.costs.macs <= 0.6 * original.costs.macs
    assert pruned.costs.params < original.costs.params
    assert original.scores.keys() == {"iou", "iou/a", "iou/b"} == trained.scores.keys()
    assert (whole.chosen, whole.missed) == (2, ())
    result = load_model(out / "compressed.safetensors")
    assert result.weights_sha256 == trained.sha256 != pruned.sha256
    assert result.card.accuracy == trained.scores
    assert result.card.name == "out"
    prune, train = result.card.training.splitlines()
    assert prune == "edgeseg compress tiny: prune (taylor); 0.5 to 0.3 MMAC"
    assert train == "edgeseg compress tiny: finetune (3 epochs, from the original)"
    assert load_model(out / "original.safetensors").weights_sha256 == load_model(tiny).weights_sha256


def test_the_report(whole: Outcome) -> None:
    report = json.loads((whole.path.parent / "report.json").read_text())
    assert report == whole.to_json()
    assert [step["title"] for step in report["steps"]] == [row.title for row in whole.rows]
    assert report["result"]["estimated"] == ["latency_ms", "size_bytes"]
    text = (whole.path.parent / "report.md").read_text()
    assert f"| 1. prune (taylor) | {whole.rows[1].costs.macs / 1e6:.1f} |" in text
    assert f"{whole.rows[0].costs.macs / whole.costs.macs:.1f} times fewer multiply-adds" in text


def test_batch_norms_are_estimated_anew_after_pruning(whole: Outcome) -> None:
    """22 pictures to learn from are a batch of 16 and a rest that is left out; the network that came had seen 10 batches."""
    out = whole.path.parent
    seen = [
        load_model(out / file).network.state_dict()["stem.1.num_batches_tracked"].item()
        for file in ("original.safetensors", "step-1-prune.safetensors")
    ]
    assert seen == [10, 1]


def test_how_often_pictures_are_drawn(whole: Outcome, tiny: Path, data: Path, tmp_path: Path) -> None:
    """Half of the pictures are from a: drawn three times, an epoch has twice as many batches, and learns something else."""
    one = dataclasses.replace(task(tiny, data, tmp_path / "out"), shares={"a": 3.0})
    drawn = done(one)
    assert drawn.rows[1].sha256 == whole.rows[1].sha256
    assert drawn.rows[2].sha256 != whole.rows[2].sha256
    with pytest.raises(UsageError, match=r"was begun with shares \[\('a', 3.0\)\], and now it is none"):
        done(task(tiny, data, tmp_path / "out"), resume=True)
    with pytest.raises(UsageError, match="--share c: no training picture is from there; sources are a, b, discs"):
        done(dataclasses.replace(one, shares={"c": 2.0}, out=tmp_path / "other"))
    assert not (tmp_path / "other" / "original.safetensors").exists()


OPTIONS = {
    "batch": 4, "accumulate": 2, "schedule": "poly", "precision": "float32", "loss": "ce +  dice", "class_weights": "enet",
    "boundary": 0.5, "features": 0.1, "hints": ("mix", "down=mix"),
}  # fmt: skip


def test_training_takes_all_its_options(tiny: Path, data: Path, tmp_path: Path) -> None:
    """What the card does not say otherwise is as the network was trained."""
    step = Finetune(epochs=1, **OPTIONS)
    result = load_model(done(task(tiny, data, tmp_path / "out", PRUNE, step)).path)
    assert result.card.loss == "ce + dice"
    assert len(result.card.class_weights) == 2
    state = (tmp_path / "out" / "step-2-finetune" / "log.csv").read_text().splitlines()
    assert len(state) == 2
    plain = load_model(done(task(tiny, data, tmp_path / "plain", PRUNE, dataclasses.replace(TRAIN, epochs=1))).path)
    assert (plain.card.loss, plain.card.class_weights) == ("", ())


class Interrupted(BaseException):
    """As Ctrl-C is."""


def test_stopped_again_and_again_it_comes_to_the_same(whole: Outcome, tiny: Path, data: Path, tmp_path: Path) -> None:
    """Stopped each time that it says something new."""
    said: set[str] = set()

    def tell(line: str) -> None:
        line = line.split("  ")[0]
        if line not in said:
            said.add(line)
            raise Interrupted

    for _ in range(20):
        try:
            result = done(task(tiny, data, tmp_path / "out"), tell, resume=True)
            break
        except Interrupted:
            pass
    assert {"epoch 1", "epoch 3", "1 of 2 steps are done", "resuming after epoch 2"} <= said
    assert [row.sha256 for row in result.rows] == [row.sha256 for row in whole.rows]
    assert [row.scores for row in result.rows] == [row.scores for row in whole.rows]


SCRIPT = """
import sys
from pathlib import Path
from tests.recipes.test_run import done, task
from tests.recipes.tiny import register
register()
done(task(*map(Path, sys.argv[1:])))
"""


def test_killed_while_it_trains_it_comes_to_the_same(whole: Outcome, tiny: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, tiny, data, out], cwd=ROOT)
    until = time.monotonic() + 300
    while not (out / "step-2-finetune" / "state.pt").exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "compressed.safetensors").exists()
    result = done(task(tiny, data, out), resume=True)
    assert [row.sha256 for row in result.rows] == [row.sha256 for row in whole.rows]


def test_another_end_of_the_recipe_keeps_the_beginning(whole: Outcome, tiny: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    lines: list[str] = []
    done(task(tiny, data, out, PRUNE))
    changed = dataclasses.replace(TRAIN, epochs=1)
    result = done(task(tiny, data, out, PRUNE, changed), lines.append, resume=True)
    assert lines[0] == "1 of 1 steps are done" or lines[0] == "1 of 2 steps are done"
    assert result.rows[1].sha256 == whole.rows[1].sha256
    assert result.rows[2].sha256 != whole.rows[2].sha256
    (out / "step-1-prune.safetensors").write_bytes(b"broken")
    again = done(task(tiny, data, out, PRUNE, TRAIN), lines.append, resume=True)
    assert [row.sha256 for row in again.rows] == [row.sha256 for row in whole.rows]


def test_what_does_not_belong_together_is_said(whole: Outcome, tiny: Path, data: Path, tmp_path: Path) -> None:
    out = whole.path.parent
    before = (out / "state.json").read_bytes()
    with pytest.raises(UsageError, match="holds a compression already; --resume goes on with it, or give another -o"):
        done(task(tiny, data, out))
    with pytest.raises(UsageError, match="was begun with seed 0, and now it is 1; give the same, or another -o"):
        done(task(tiny, data, out, seed=1), resume=True)
    assert (out / "state.json").read_bytes() == before
    with pytest.raises(UsageError, match="needs pictures to learn from"):
        done(dataclasses.replace(task(tiny, data, tmp_path / "a"), folders=Folders([])))
    with pytest.raises(UsageError, match="enet has fresh weights, and nothing to keep"):
        open_compression("enet", Recipe("mine", STEPS), Folders([data]), tmp_path)
    with pytest.raises(DataError, match="has no images/ folder"):
        done(task(tiny, tmp_path, tmp_path / "b"))
    with pytest.raises(UsageError, match="the floor speaks of miou, validation of iou"):
        done(task(tiny, data, tmp_path / "c", floor=Floor("miou", 0.5)))
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "state.json").write_text("{")
    with pytest.raises(ModelError, match="is not the state of a compression"):
        done(task(tiny, data, tmp_path / "d"), resume=True)


@pytest.mark.parametrize("judged_by", ["accuracy", "error"])
def test_pruned_substituted_and_pruned_again(judged_by: Any, tiny: Path, data: Path, tmp_path: Path) -> None:
    """Each checkpoint rebuilds its network; the layers that were substituted are in the card of the last."""
    first = dataclasses.replace(PRUNE, macs=0.8, round_to=2)
    steps = (
        first,
        Separable(macs=0.9, judged_by=judged_by),
        LowRank(layers=("mix.*",), energies=(0.5,), judged_by=judged_by),
        PRUNE,
    )
    one = task(tiny, data, tmp_path / "out", *steps, limit=0.3)
    result = done(one)
    model = load_model(result.path)
    assert {row["kind"] for row in model.card.rewrites.values()} == {"separable", "low_rank"}
    assert result.costs.macs <= 0.3 * result.rows[0].costs.macs
    macs = [row.costs.macs for row in result.rows]
    assert macs == sorted(macs, reverse=True)
    assert len(set(macs)) == 5


def test_a_floor_that_is_missed_keeps_the_best(tiny: Path, data: Path, tmp_path: Path) -> None:
    result = done(task(tiny, data, tmp_path / "out", PRUNE, floor=Floor(least=0.999)))
    assert len(result.missed) == 1
    assert result.missed[0].startswith("iou >= 0.9990, but it is 0.")
    assert load_model(result.path).weights_sha256 == result.rows[1].sha256
    assert "- missed: iou >= 0.9990" in result.markdown()


def test_a_disk_that_fills_loses_no_finished_step(whole: Outcome, tiny: Path, data: Path, tmp_path: Path) -> None:
    """The kernel refuses to let a file grow beyond the limit, as a disk does that is full."""
    out = tmp_path / "out"
    done(task(tiny, data, out, PRUNE))
    kept = (out / "step-1-prune.safetensors").read_bytes()
    own, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) // 2, most))
    try:
        with pytest.raises(OutputError, match=r"step-2-prune.safetensors cannot be written: File too large; make room, or"):
            done(task(tiny, data, out, PRUNE, dataclasses.replace(PRUNE, macs=0.9)), resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (own, most))
    assert (out / "step-1-prune.safetensors").read_bytes() == kept
    lines: list[str] = []
    result = done(task(tiny, data, out), lines.append, resume=True)
    assert lines[0] == "1 of 2 steps are done"
    assert result.rows[2].sha256 == whole.rows[2].sha256


def test_without_a_length_in_epochs_the_time_is_shared_out(tiny: Path, data: Path, tmp_path: Path) -> None:
    """Two trainings of one second each, though 10,000 epochs were asked for."""
    steps = (dataclasses.replace(TRAIN, epochs=10_000, share=1.0), PRUNE, dataclasses.replace(TRAIN, epochs=10_000, share=1.0))
    one = dataclasses.replace(task(tiny, data, tmp_path / "out", *steps), minutes=2 / 60)
    lines: list[str] = []
    done(one, lines.append)
    assert "step 1 of 3, finetune (10000 epochs, from the original): about 0.0 min of training left" in lines
    log = (tmp_path / "out" / "step-3-finetune" / "log.csv").read_text().splitlines()
    assert 1 < len(log) < 10_000


@pytest.mark.parametrize(
    ("options", "mixed"),
    [
        ({}, False),
        ({"mixed": True}, True),
        ({"max_miou_drop": 0.5}, True),
        ({"max_miou_drop": 0.5, "mixed": False}, False),
    ],
)
def test_layers_are_left_in_float_where_a_recipe_asks_for_it(
    options: dict[str, Any], mixed: bool, tiny: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(*_: Any, accuracy: Accuracy, **__: Any) -> None:
        asked.append(accuracy)
        raise ExportError("enough is known")

    monkeypatch.setattr("edgeseg.recipes.work.export_files", refuse)
    with pytest.raises(ExportError, match="enough is known"):
        done(task(tiny, data, tmp_path / "out", Export(**options), limit=1.0))
    assert asked == [Accuracy(0.98, options.get("max_miou_drop"), mixed=mixed)]


@pytest.mark.slow
def test_int8_to_the_files(tiny: Path, data: Path, tmp_path: Path) -> None:
    """Trained for int8 and exported; a gate that cannot be passed leaves the best network."""
    qat, onnx = Qat(epochs=1, batch=8), Export(("onnx",), observer="minmax", corrections=False, force=True)
    steps = (PRUNE, TRAIN, qat)
    with pytest.raises(ExportError, match=r"compressed.safetensors is the best result so far, and --resume tries this step"):
        done(task(tiny, data, tmp_path / "out", *steps, dataclasses.replace(onnx, min_agreement=1.0, force=False)))
    assert load_model(tmp_path / "out" / "compressed.safetensors").card.ranges
    lines: list[str] = []
    result = done(task(tiny, data, tmp_path / "out", *steps, onnx), lines.append, resume=True)
    assert lines[0] == "3 of 4 steps are done"
    (file,) = result.rows[-1].files
    assert Path(file["path"]).name == "out-32x32-int8.onnx"
    assert result.costs.size_bytes == file["size_bytes"] == Path(file["path"]).stat().st_size
    assert result.estimated == ("latency_ms",)
    assert file["scores"].keys() == {"iou", "iou/a", "iou/b"}
    assert f"- `out-32x32-int8.onnx`: {file['size_bytes'] / 1e3:.0f} kB, iou " in result.markdown()
