"""Ranges chosen by measured error: pictures are run, every way to find ranges is tried, and the best one is kept.

    collect      the pictures are run once in float; every observer reads the same collection
    observers    each one's ranges are tried: the graph, rounded as int8 will round, against the float logits
    equalise     the two best observers again, on equalised weights (`edgeseg.calib.equalise`), collected anew
    correct      the best so far again, with corrected biases (`edgeseg.calib.bias`)

Whatever does not lower the error is dropped. Where there are enough pictures, some are kept apart: the ranges are not
measured on them, but the error is. A graph that is calibrated goes on to `edgeseg.compress.quantize.convert`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from edgeseg.calib import cache
from edgeseg.calib.bias import correct_biases
from edgeseg.calib.equalise import Pair, equalise, find_pairs, restore, snapshot, watch_clips
from edgeseg.calib.judge import Candidate, best, score
from edgeseg.calib.observers import OBSERVERS, Range
from edgeseg.calib.simulate import choose, collecting, in_float, ranges
from edgeseg.calib.suitability import Clipped
from edgeseg.errors import DataError

AUTO = "auto"
OBSERVER_CHOICES = (AUTO, *OBSERVERS)
JUDGED = 24  # pictures that candidates are tried on
BIAS_PICTURES = 16  # in memory at once
EQUALISED_OBSERVERS = 2  # tried again on equalised weights
# Time of a picture, in float runs, for the progress bar.
COLLECTED, ROUNDED, CORRECTED = 2, 2, 4

Progress = Callable[[str, float], None]  # what, share of all that is done


@dataclass(frozen=True)
class Calibration:
    """What was tried and what was kept."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    pictures: int  # that ranges were measured on
    judged: int  # that candidates were tried on
    apart: bool  # whether these are others
    cached: bool = False
    note: str = ""  # of the cache
    clipped: Clipped | None = None  # by the ranges, on the parity pictures
    warnings: tuple[str, ...] = ()  # what is wrong with the pictures


@dataclass(frozen=True)
class _State:
    """Of a graph: what a candidate is made of."""

    ranges: dict[str, Range]
    weights: dict[str, Tensor] = field(default_factory=dict)  # that differ from the network's


@torch.no_grad()
def calibrate(
    prepared: fx.GraphModule,
    images: Sequence[Tensor],
    *,
    observer: str = AUTO,
    corrections: bool = True,
    folder: Path | None = None,
    progress: Progress = lambda what, share: None,
) -> Calibration:
    """Choose the ranges of `prepared`, and perhaps equalise its weights and correct its biases, in place.

    prepared     from `edgeseg.compress.quantize.prepare`, with any of our observers
    images       (1, 3, h, w) float32 each, as the network takes them
    observer     a key of OBSERVERS, or "auto" for the best of them
    corrections  whether equalisation and bias correction are tried
    folder       of the cache (`edgeseg.calib.cache.default_folder`); without it nothing is kept

    DataError where there are no images.
    """
    if not images:
        raise DataError("int8 needs pictures to measure ranges on, and there are none; name a folder with --calib DIR")
    key = cache.key_of(prepared, images, f"{observer} {corrections} {JUDGED} {BIAS_PICTURES}") if folder is not None else ""
    note = ""
    if folder is not None:
        entry, note = cache.load(folder, key, prepared)
        if entry is not None:
            _apply(prepared, _State(entry.ranges, entry.weights), {})
            progress("done", 1.0)
            return _from_json(entry.report)
    measured, judged = divide(images)
    session = _Session(prepared, measured, judged, progress, observer, corrections)
    chosen, state = session.run()
    _apply(prepared, state, session.original)
    result = Calibration(chosen, tuple(session.states), len(measured), len(judged), measured is not images, note=note)
    if folder is not None:
        trouble = cache.save(folder, key, cache.Entry(state.ranges, state.weights, asdict(result)))
        if trouble:
            result = replace(result, note=trouble)
    return result


def divide(images: Sequence[Tensor]) -> tuple[Sequence[Tensor], list[Tensor]]:
    """(to measure ranges on, to judge on): evenly, and apart where there are enough for both."""
    count = min(JUDGED, len(images))
    places = {int((k + 0.5) * len(images) / count) for k in range(count)}
    judged = [images[i] for i in sorted(places)]
    if len(images) < 2 * JUDGED:
        return images, judged
    return [image for i, image in enumerate(images) if i not in places], judged


def table(calibration: Calibration) -> list[str]:
    """What was tried, a line each; the one that was kept is marked."""
    where = "kept apart" if calibration.apart else "the same"
    many = "picture" if calibration.pictures == 1 else "pictures"
    head = f"ranges of {calibration.pictures} {many}, tried on {calibration.judged} ({where})"
    lines = [f"{head}{', from the cache' if calibration.cached else ''}:", f"  {'observer':34} SQNR dB  agreement"]
    for row in calibration.candidates:
        name = row.observer + (", equalised" if row.equalised else "") + (", biases" if row.corrected else "")
        mark = "*" if row == calibration.chosen else " "
        lines.append(f"{mark} {name:34} {row.sqnr_db:7.2f}  {row.agreement:9.3%}")
    return lines


class _Session:
    """The pictures, the float logits, and what was tried on them."""

    def __init__(
        self,
        prepared: fx.GraphModule,
        measured: Sequence[Tensor],
        judged: Sequence[Tensor],
        progress: Progress,
        observer: str,
        corrections: bool,
    ) -> None:
        self.prepared, self.measured, self.judged = prepared, measured, judged
        self.names = list(OBSERVERS) if observer == AUTO else [observer]
        self.pairs: list[Pair] = find_pairs(prepared) if corrections else []
        self.corrections = corrections
        self.original = snapshot(prepared)
        self.states: dict[Candidate, _State] = {}
        again = min(EQUALISED_OBSERVERS, len(self.names))
        self.units = COLLECTED * len(measured) + (1 + ROUNDED * len(self.names)) * len(judged)
        if self.pairs:
            self.units += COLLECTED * len(measured) + ROUNDED * again * len(judged)
        if corrections:
            self.units += CORRECTED * min(BIAS_PICTURES, len(measured)) + ROUNDED * len(judged)
        self.done = 0.0
        self.progress = progress

    def run(self) -> tuple[Candidate, _State]:
        """The best candidate."""
        with in_float(self.prepared):
            self.references = []
            for image in self.judged:
                self.references.append(self.prepared(image))
                self._tick("float network", 1)
        watch_clips(self.prepared, self.pairs)
        self._collect("measuring ranges")
        for name in self.names:
            choose(self.prepared, name)
            self._try(name, False, False, {})
        if self.pairs:
            ranked = sorted(self.states, key=lambda c: (c.changed, -c.sqnr_db))
            first = best(ranked)
            names = [first.observer, *(c.observer for c in ranked if c is not first)][:EQUALISED_OBSERVERS]
            equalise(self.prepared, self.pairs)
            weights = self._changed()
            self._collect("measuring equalised ranges")
            for name in names:
                choose(self.prepared, name)
                self._try(name, True, False, weights)
        if self.corrections:
            so_far = best(list(self.states))
            _apply(self.prepared, self.states[so_far], self.original)
            count = min(BIAS_PICTURES, len(self.measured))
            images = [self.measured[int((k + 0.5) * len(self.measured) / count)] for k in range(count)]
            start = self.done
            units = CORRECTED * count

            def tell(share: float) -> None:
                self.done = start + units * share
                self._tick("correcting biases", 0)

            corrected = correct_biases(self.prepared, images, tell)
            self.done = start + units
            if corrected:
                self._try(so_far.observer, so_far.equalised, True, self._changed())
        kept = best(list(self.states))
        self.progress("done", 1.0)
        return kept, self.states[kept]

    def _collect(self, what: str) -> None:
        with collecting(self.prepared) as observers:
            for image in self.measured:
                self.prepared(image)
                for observer in observers:
                    observer.end_picture()
                self._tick(what, COLLECTED)

    def _try(self, name: str, equalised: bool, corrected: bool, weights: dict[str, Tensor]) -> None:
        label = f"trying {name}"
        sqnr_db, agreement = score(self.prepared, self.judged, self.references, lambda: self._tick(label, ROUNDED))
        kept = {key: o.chosen for key, o in ranges(self.prepared).items() if o.chosen is not None}
        self.states[Candidate(name, equalised, corrected, sqnr_db, agreement)] = _State(kept, weights)

    def _changed(self) -> dict[str, Tensor]:
        now = snapshot(self.prepared)
        return {key: value for key, value in now.items() if not torch.equal(value, self.original[key])}

    def _tick(self, what: str, units: float) -> None:
        self.done += units
        self.progress(what, min(1.0, self.done / self.units))


def _apply(prepared: fx.GraphModule, state: _State, original: dict[str, Tensor]) -> None:
    restore(prepared, {**original, **state.weights})
    for name, observer in ranges(prepared).items():
        observer.chosen = state.ranges[name]


def _from_json(report: dict[str, Any]) -> Calibration:
    """A calibration as `asdict` gave it to the cache."""
    return Calibration(
        chosen=Candidate(**report["chosen"]),
        candidates=tuple(Candidate(**row) for row in report["candidates"]),
        pictures=report["pictures"],
        judged=report["judged"],
        apart=report["apart"],
        cached=True,
    )
