"""What the files of a report are worth on a folder of pictures with truth, for `edgeseg bench --data`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.errors import EdgesegError

MEANS = ("miou", "boundary_f", "pixel_accuracy")


def judge(report: dict[str, Any], folder: Path, limit: int) -> list[Any]:
    """Give every row `measured_accuracy`, and int8 ones `parity`, in place; the worst pictures of int8 files, for the page.

    limit  pictures, evenly over the folder, so that every source has its share

    What cannot be judged costs a row its figures and says why in `accuracy_error`.
    """
    from edgeseg.report.page import Picture
    from edgeseg.report.predict import open_predictor
    from edgeseg.report.worst import worst_sheet
    from edgeseg.train.truth import read_truth

    sheets: list[Any] = []
    judged: dict[str, dict[str, Any]] = {}
    for row in report["results"]:
        if "error" in row:
            continue
        if row["path"] not in judged:
            try:
                predictor = open_predictor(row["path"])
                truth = read_truth(folder, predictor.classes, predictor.person_class)
                number = len(truth.pairs)
                count = min(limit, number)
                truth = dataclasses.replace(truth, pairs=tuple(truth.pairs[i * number // count] for i in range(count)))
                reference = _reference(row, report) if row["precision"] == "int8" else (None, "")
                judged[row["path"]] = _figures(predictor, truth, folder, *reference)
                if reference[0] is not None:
                    pictures = zip((pair[0].stem for pair in truth.pairs), truth.load(), strict=True)
                    flat = ((name, frame, ids) for name, (frame, ids) in pictures)
                    sheet, _ = worst_sheet(flat, _ids(predictor, truth), _ids(reference[0], truth))
                    title = f"{Path(row['path']).name}: the worst of {count} pictures of {folder.name}"
                    sheets.append(Picture(f"{title}; picture, truth, float, int8", sheet))
            except EdgesegError as error:
                judged[row["path"]] = {"accuracy_error": str(error)}
        row |= judged[row["path"]]
    return sheets


def _figures(predictor: Any, truth: Any, folder: Path, reference: Any, against: str) -> dict[str, Any]:
    """`measured_accuracy` by class and by source; `parity` with the float network `reference`, where there is one."""
    from edgeseg.train.data import read_prefix, read_sources

    sources = read_sources(folder)
    whole, by_float, parity = _metrics(predictor, truth), _metrics(predictor, truth), _Parity()
    parts: dict[str, Any] = {}
    for pair, (frame, ids) in zip(truth.pairs, truth.load(), strict=True):
        output = predictor.run(frame)
        found = _answer(predictor, output, frame, truth)
        source = sources.get(pair[0].name) or read_prefix(pair[0].stem)
        for metrics in (whole, parts.setdefault(source, _metrics(predictor, truth))):
            metrics.add(found[0], ids, found[1])
        if reference is not None:
            exact = reference.run(frame)
            wanted = _answer(reference, exact, frame, truth)
            by_float.add(wanted[0], ids, wanted[1])
            parity.add(exact, output, wanted[0], found[0])
    result = whole.result()
    means = {key: round(result[key], 4) for key in MEANS if result.get(key) is not None}
    row: dict[str, Any] = {
        "measured_accuracy": {
            "data": folder.name,
            "images": result["images"],
            **means,
            "iou": _rounded(result["iou"]),
            "sources": {source: _of_source(metrics) for source, metrics in sorted(parts.items())},
        }
    }
    if reference is not None:
        row["parity"] = {"against": against, **parity.to_json(), "miou_delta": _difference(result, by_float.result())}
    return row


def _metrics(predictor: Any, truth: Any) -> Any:
    """As `edgeseg eval` judges: where the truth knows the person only, that class against the rest."""
    from edgeseg.train.metrics import SegmentationMetrics

    person = predictor.person_class
    positive = 1 if truth.binary else person if len(truth.classes) == 2 else None
    return SegmentationMetrics(truth.classes, positive=positive, scored=1 if truth.binary else person)


def _answer(predictor: Any, output: Any, frame: Any, truth: Any) -> tuple[Any, Any]:
    """(class ids, probability of the person) at the frame's size, of an output that is there already."""
    ids, probability = dataclasses.replace(predictor, run=lambda _: output).judge(frame)
    return ((ids == predictor.person_class).astype("uint8") if truth.binary else ids), probability


def _of_source(metrics: Any) -> dict[str, Any]:
    """Means and IoU; where the truth has nothing of the class that is looked for, how much is called that all the same.

    There one wrong pixel takes the class's IoU from unknown to 0, and the mean from 1 to a half, which says nothing.
    """
    result, positive = metrics.result(), metrics.positive
    if positive is not None and not metrics.confusion[positive].sum():
        right = result["pixel_accuracy"]
        return {"images": result["images"], "false_share": None if right is None else round(1 - right, 5)}
    means = {key: round(result[key], 4) for key in MEANS if result.get(key) is not None}
    return {"images": result["images"], **means, "iou": _rounded(result["iou"])}


def _rounded(values: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 4) for name, value in values.items()}


def _difference(result: dict[str, Any], by_float: dict[str, Any]) -> float | None:
    ours, floats = result.get("miou"), by_float.get("miou")
    return None if ours is None or floats is None else round(float(ours - floats), 5)


class _Parity:
    """How near a file's answers are to its float network's."""

    def __init__(self) -> None:
        self.same = self.pixels = 0
        self.signal = self.noise = 0.0

    def add(self, exact: Any, got: Any, wanted: Any, found: Any) -> None:
        self.same += int((wanted == found).sum())
        self.pixels += wanted.size
        if exact.shape == got.shape:  # a file without its framings answers at another size
            self.signal += float((exact.astype("float64") ** 2).sum())
            self.noise += float(((got.astype("float64") - exact) ** 2).sum())
        else:
            self.noise = math.nan

    def to_json(self) -> dict[str, float | None]:
        """agreement  share of pixels that get the same class; sqnr_db  of the logits, None where they cannot be compared"""
        known = self.noise > 0 and self.signal > 0
        return {
            "agreement": round(self.same / max(1, self.pixels), 5),
            "sqnr_db": round(10 * math.log10(self.signal / self.noise), 2) if known else None,
        }


def _ids(predictor: Any, truth: Any) -> Any:
    """Frame -> ids as the truth counts them."""
    if not truth.binary:
        return predictor.predict
    return lambda frame: (predictor.predict(frame) == predictor.person_class).astype("uint8")


def _reference(row: dict[str, Any], report: dict[str, Any]) -> tuple[Any, str]:
    """The float file of the same model in the report, else the float network of that name, and its name; (None, "") without."""
    from edgeseg.report.predict import open_predictor

    for candidate in _candidates(row, report):
        try:
            return open_predictor(candidate, size=tuple(row["size_hw"])), Path(candidate).name
        except EdgesegError:
            continue
    return None, ""


def _candidates(row: dict[str, Any], report: dict[str, Any]) -> Iterator[str]:
    for other in report["results"]:
        if "error" not in other and other["model"] == row["model"] and other["precision"] == "float32":
            yield other["path"]
    yield row["model"]
