"""`edgeseg compress --search`: which recipes are worth it, by Optuna over accuracy, multiply-adds, bytes and latency.

    out/study.db           all trials (SQLite), unless a storage is named that several machines share
    out/trial-0007/        a compression like any other, which is taken up again if its process was killed
    out/front.json, front.md, front.png

Every worker, in this process or another, on this machine or another, takes the next trial from the storage. A trial whose
worker has not been heard of for a while is given to another one.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from edgeseg.errors import DataError, EdgesegError, ExportError, MissingExtraError, ModelError, ProcessError, UsageError
from edgeseg.models import MODELS
from edgeseg.models.checkpoint import Model, ModelCard, load_model, weights_sha256
from edgeseg.recipes.compression import Compression, plan
from edgeseg.recipes.front import Trial, front
from edgeseg.recipes.outcome import Outcome
from edgeseg.recipes.run import compress, read, timed
from edgeseg.recipes.space import Choice, suggest, to_recipe
from edgeseg.train.material import Folders, Material
from edgeseg.whole import make_folder

DIRECTIONS = ("maximize", "minimize", "minimize", "minimize")
HEARTBEAT = 20  # seconds; a worker that is silent for three of them is given up
RETRIES = 3
Study = Any  # of optuna


@dataclass(frozen=True)
class Search:
    """model is a trained one's name, a checkpoint, or an architecture, which each trial then trains from fresh weights.

    trials   that the study is to have in the end, of all workers together
    minutes  of training that one trial may take; without it, as many epochs as its recipe says
    storage  URL of a data base; "" is a file in `out`
    shares   how often the pictures of a source are drawn in an epoch, where it is not once
    """

    model: str
    folders: Folders
    out: Path
    trials: int = 20
    storage: str = ""
    size: tuple[int, int] | None = None
    seed: int = 0
    minutes: float | None = None
    command: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)

    @property
    def fresh(self) -> bool:
        return self.model in MODELS

    @property
    def url(self) -> str:
        return self.storage or f"sqlite:///{self.out.absolute() / 'study.db'}"


def open_study(search: Search, worker: int = 0) -> Study:
    """The study in the search's storage, which is begun where there is none.

    MissingExtraError without Optuna, UsageError for a study of something else or a storage that cannot be opened.
    """
    optuna = _optuna()
    make_folder(search.out)
    settings = {"model": _sha256(search), "size": search.size and "x".join(map(str, search.size)), "seed": search.seed}
    with _calm(optuna):
        try:
            storage = optuna.storages.RDBStorage(
                search.url,
                engine_kwargs={"connect_args": {"timeout": 60}} if search.url.startswith("sqlite") else {},
                heartbeat_interval=HEARTBEAT,
                grace_period=3 * HEARTBEAT,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(RETRIES),
            )
            study = optuna.create_study(
                study_name=search.out.name,
                storage=storage,
                directions=DIRECTIONS,
                sampler=optuna.samplers.TPESampler(seed=search.seed + worker),
                load_if_exists=True,
            )
        except Exception as error:  # whatever a data base and its driver raise
            raise UsageError(f"the storage {search.url} cannot be used: {str(error).splitlines()[0]}") from None
    told = study.user_attrs.setdefault("settings", settings)
    if told != settings:
        raise UsageError(f"the study {search.out.name} in {search.url} is of {told}, and not of {settings}; give another -o")
    study.set_user_attr("settings", settings)
    return study


def start(search: Search, workers: int = 1, tell: Callable[[str], None] = print) -> None:
    """Work with so many processes on this machine until the study is complete; ProcessError where one of them ends early."""
    open_study(search)  # what is wrong with it is said once
    if workers == 1:
        work(search, 0, tell)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_in_a_process, args=(search, k, workers)) for k in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    ended = [process.exitcode for process in processes if process.exitcode]
    if ended:
        raise ProcessError(f"{len(ended)} of {workers} workers ended early; --resume goes on with what they were doing")


def _in_a_process(search: Search, worker: int, workers: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    try:
        work(search, worker, lambda line: print(f"[{worker}] {line}", file=sys.stderr))
    except EdgesegError as error:
        print(f"edgeseg: worker {worker}: {error}", file=sys.stderr)
        sys.exit(1)


def work(search: Search, worker: int = 0, tell: Callable[[str], None] = print) -> None:
    """Take trials until the study has enough of them."""
    optuna = _optuna()
    study = open_study(search, worker)
    material = read(search.folders, [search.size or load_model(search.model).card.size])
    states = optuna.trial.TrialState
    # SQLite has no locks of rows: two workers that ask at once may be given the same waiting trial.
    turn = FileLock(search.out / "study.lock")

    def take(trial: Any) -> tuple[float, ...]:
        turn.release()
        return attempt(search, trial, material, tell)

    ended = (states.COMPLETE, states.PRUNED)
    while True:
        with _calm(optuna):
            optuna.storages.fail_stale_trials(study)
        now = [trial.state for trial in study.get_trials(deepcopy=False)]
        done, running = sum(state in ended for state in now), now.count(states.RUNNING)
        if done >= search.trials:
            return
        if done + running < search.trials or states.WAITING in now:
            turn.acquire()
            try:
                with _calm(optuna):
                    study.optimize(take, n_trials=1)
            finally:
                turn.release()  # where none could be taken
        else:
            time.sleep(min(1.0, HEARTBEAT / 4))  # another worker does the last ones, or was killed


def attempt(search: Search, trial: Any, material: Material, tell: Callable[[str], None]) -> tuple[float, ...]:
    """Accuracy, MACs, bytes and milliseconds of one trial; a choice that cannot be is pruned, with the reason."""
    optuna = _optuna()
    folder = trial.user_attrs.get("folder", f"trial-{trial.number:04d}")  # that of the trial which this one repeats
    trial.set_user_attr("folder", folder)
    choice = suggest(trial, _card(search).architecture, search.fresh)
    tell(f"{folder}: {', '.join(f'{k} {v}' for k, v in dataclasses.asdict(choice).items() if v is not None)}")
    try:
        outcome = carry_out(search, choice, search.out / folder, material)
    except (UsageError, ModelError, ExportError) as error:
        trial.set_user_attr("reason", str(error))
        tell(f"{folder}: {error}")
        raise optuna.TrialPruned(str(error)) from None
    row = outcome.rows[-1]
    (file,) = timed(row.files)
    trial.set_user_attr("path", str(outcome.path))
    trial.set_user_attr("file", file["path"])
    trial.set_user_attr("metric", outcome.metric)
    values = (row.scores[outcome.metric], row.costs.macs, file["size_bytes"], file["latency_ms"])
    tell(
        f"{folder}: {outcome.metric} {values[0]:.4f}, {values[1] / 1e6:.1f} MMAC, {values[2] / 1e3:.0f} kB, {values[3]:.2f} ms"
    )
    return values


def carry_out(search: Search, choice: Choice, out: Path, material: Material) -> Outcome:
    """A compression like any other; one that was interrupted goes on."""
    model = _model(search, choice, material)
    recipe = to_recipe(choice, out.name, search.fresh)
    size = search.size or model.card.size
    model.network.check_size(size)
    task = Compression(
        model, search.model, recipe, search.folders, out, size, (), search.seed, search.minutes, search.command, search.shares
    )
    return compress(task, plan(task), resume=True, tell=lambda line: None, material=material)


def finish(search: Search) -> tuple[list[Trial], list[Trial], str]:
    """All complete trials, the front with latencies measured anew, and the name of the accuracy.

    Latencies that were measured beside other workers are good for a search, not for a table: the files of the front take
    turns now. DataError where no trial is complete.
    """
    optuna = _optuna()
    study = open_study(search)
    complete = [t for t in study.get_trials(deepcopy=False) if t.state == optuna.trial.TrialState.COMPLETE]
    if not complete:
        reasons = [t.user_attrs["reason"] for t in study.get_trials(deepcopy=False) if "reason" in t.user_attrs]
        raise DataError(f"no trial is complete; {reasons[0] if reasons else 'give more --trials'}")
    trials = [
        Trial(t.number, t.values[0], int(t.values[1]), int(t.values[2]), t.values[3], t.params, t.user_attrs["path"],
              (t.user_attrs["file"],))
        for t in complete
    ]  # fmt: skip
    found = [t for t in front(trials) if Path(t.files[0]).is_file()]  # those of other machines are with them
    measured = timed([{"path": t.files[0]} for t in found]) if found else ()
    again = {t.number: new["latency_ms"] for t, new in zip(found, measured, strict=True)}
    trials = [dataclasses.replace(t, latency_ms=again.get(t.number, t.latency_ms)) for t in trials]
    return trials, front(trials), complete[0].user_attrs["metric"]


def _model(search: Search, choice: Choice, material: Material) -> Model:
    if not search.fresh:
        return load_model(search.model)
    arguments = {} if choice.width is None else {"width": choice.width}
    card = ModelCard(search.model, arguments, material.classes, 1 if material.person else None, name=search.model)
    torch.manual_seed(search.seed)
    network = dataclasses.replace(card, size=search.size or card.size).build().eval()
    return Model(network, card, weights_sha256(network.state_dict()))


def _card(search: Search) -> ModelCard:
    return load_model(search.model).card


def _sha256(search: Search) -> str:
    return search.model if search.fresh else load_model(search.model).weights_sha256[:16]


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "search", "searching") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


@contextmanager
def _calm(optuna: Any) -> Iterator[None]:
    """Heartbeats are called experimental since 2.9; they are what makes a killed trial come back."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
