"""Searches over recipes of a tiny network, by Optuna itself."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from edgeseg.errors import DataError, UsageError
from edgeseg.models.checkpoint import load_model
from edgeseg.recipes import search as search_module
from edgeseg.recipes.search import Search, finish, open_study, start, work
from edgeseg.recipes.space import Choice, suggest, to_recipe
from edgeseg.recipes.steps import Export, Finetune, LowRank, Prune, Separable
from edgeseg.train.material import Folders
from tests.recipes.tiny import TinySearch

optuna = pytest.importorskip("optuna")
ROOT = Path(__file__).parents[2]
PLAIN = {"keep": 1.0, "substitute": False, "low_rank": False, "precision": "float32"}


def searched(tiny: Path, data: Path, out: Path, **changes: Any) -> Search:
    return Search(str(tiny), Folders([data]), out, **{"trials": 1, "minutes": 0.02, **changes})


CHOICES = [
    ({**PLAIN}, Choice(None, 1.0, None, None, None, "float32")),
    ({**PLAIN, "keep": 0.5, "importance": "bn"}, Choice(None, 0.5, "bn", None, None, "float32")),
    (
        {
            "keep": 0.3,
            "importance": "l2",
            "substitute": True,
            "separable": 0.7,
            "low_rank": True,
            "energy": 0.8,
            "precision": "int8",
        },
        Choice(None, 0.3, "l2", 0.7, 0.8, "int8"),
    ),
]


@pytest.mark.parametrize(("parameters", "choice"), CHOICES)
def test_what_a_trial_chooses(parameters: dict[str, Any], choice: Choice) -> None:
    assert suggest(optuna.trial.FixedTrial(parameters), "tiny", fresh=False) == choice


def test_the_width_is_of_fresh_networks_that_have_one() -> None:
    trial = optuna.trial.FixedTrial({**PLAIN, "width": 0.5})
    assert suggest(trial, "deeplabv3plus-mobilenetv2", fresh=True).width == 0.5
    assert suggest(trial, "deeplabv3plus-mobilenetv2", fresh=False).width is None
    assert suggest(trial, "enet", fresh=True).width is None


def test_a_choice_is_a_recipe() -> None:
    steps = to_recipe(CHOICES[2][1], "t", fresh=False).steps
    assert [type(step) for step in steps] == [Separable, LowRank, Prune, Finetune, Export]
    assert [type(step) for step in to_recipe(CHOICES[0][1], "t", fresh=False).steps] == [Export]
    assert [type(step) for step in to_recipe(CHOICES[1][1], "t", fresh=True).steps] == [Finetune, Prune, Finetune, Export]


def test_a_search_from_beginning_to_front(tiny: Path, data: Path, tmp_path: Path) -> None:
    one = searched(tiny, data, tmp_path / "out", trials=2)
    study = open_study(one)
    for keep in (1.0, 0.5):
        study.enqueue_trial({**PLAIN, "keep": keep, "importance": "l2"})
    lines: list[str] = []
    start(one, 1, lines.append)
    trials, found, metric = finish(one)
    assert [t.number for t in trials] == [0, 1]
    assert metric == "iou"
    assert trials[1].macs <= trials[0].macs / 2
    assert trials[1].size_bytes < trials[0].size_bytes
    assert 1 in {t.number for t in found}
    assert load_model(trials[1].path).card.shapes
    assert Path(trials[1].files[0]).is_file()
    assert any(line.startswith("trial-0001: iou 0.") for line in lines)
    start(one, 1, lines.append)  # nothing is left to do
    assert len(open_study(one).trials) == 2


def test_a_choice_that_cannot_be_costs_one_trial(tiny: Path, data: Path, tmp_path: Path) -> None:
    one = searched(tiny, data, tmp_path / "out")
    open_study(one).enqueue_trial({**PLAIN, "keep": 0.15, "importance": "l2"})
    work(one, tell=lambda line: None)
    with pytest.raises(DataError, match=r"no trial is complete; step 1: .* cannot be reached"):
        finish(one)


SCRIPT = """
import sys
from pathlib import Path
from edgeseg.recipes import search
from tests.recipes.test_search import searched
from tests.recipes.tiny import register
register()
search.HEARTBEAT = 1
tiny, data, out = map(Path, sys.argv[1:])
search.work(searched(tiny, data, out, minutes=5.0), tell=print)
"""


def test_a_trial_whose_worker_was_killed_is_taken_up(
    tiny: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "HEARTBEAT", 1)
    one = searched(tiny, data, tmp_path / "out")
    open_study(one).enqueue_trial({**PLAIN, "keep": 0.5, "importance": "l2"})
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, tiny, data, one.out], cwd=ROOT)
    folder = one.out / "trial-0000"
    until = time.monotonic() + 300
    while (
        not (folder / "step-2-finetune" / "last.safetensors").exists() and process.poll() is None and time.monotonic() < until
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = json.loads((folder / "state.json").read_text())["rows"][1]
    work(one, tell=lambda line: None)
    first, second = open_study(one).trials
    assert (first.state.name, second.state.name) == ("FAIL", "COMPLETE")
    assert second.user_attrs["folder"] == "trial-0000"
    assert json.loads((folder / "state.json").read_text())["rows"][1] == kept
    assert not (one.out / "trial-0001").exists()


def test_another_study_in_the_same_place_is_refused(tiny: Path, data: Path, tmp_path: Path) -> None:
    one = searched(tiny, data, tmp_path / "out")
    open_study(one)
    with pytest.raises(UsageError, match="give another -o"):
        open_study(dataclasses.replace(one, seed=1))
    with pytest.raises(UsageError, match="cannot be used"):
        open_study(dataclasses.replace(one, storage="nonsense://x"))


@pytest.mark.slow
def test_several_workers_share_a_study(tiny: Path, data: Path, tmp_path: Path) -> None:
    """Each takes a trial of its own, and none is done twice."""
    one = TinySearch(str(tiny), Folders([data]), tmp_path / "out", 2, minutes=0.02)
    study = open_study(one)
    for keep in (1.0, 0.5):
        study.enqueue_trial({**PLAIN, "keep": keep, "importance": "l2"})
    start(one, 2)
    trials, _, _ = finish(one)
    assert [(t.number, t.choice["keep"]) for t in trials] == [(0, 1.0), (1, 0.5)]


def test_trials_are_taken_in_turn(tiny: Path, data: Path, tmp_path: Path) -> None:
    """While another worker asks for its trial, none is taken: SQLite would give both the same one."""
    one = searched(tiny, data, tmp_path / "out", minutes=0.01)
    open_study(one).enqueue_trial({**PLAIN})
    with FileLock(one.out / "study.lock"):
        worker = threading.Thread(target=work, args=(one,), kwargs={"tell": lambda line: None})
        worker.start()
        worker.join(3)
        assert worker.is_alive()
        assert open_study(one).get_trials(deepcopy=False)[0].state == optuna.trial.TrialState.WAITING
    worker.join()
    assert open_study(one).get_trials(deepcopy=False)[0].state == optuna.trial.TrialState.COMPLETE


def test_a_fresh_network_is_trained_first(data: Path, tmp_path: Path) -> None:
    one = Search("tiny", Folders([data]), tmp_path / "out", 1, size=(32, 32), minutes=0.01)
    open_study(one).enqueue_trial({**PLAIN})
    work(one, tell=lambda line: None)
    trials, _, _ = finish(one)
    assert (tmp_path / "out" / "trial-0000" / "step-1-finetune" / "last.safetensors").is_file()
    assert trials[0].choice == PLAIN
