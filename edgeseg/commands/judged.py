"""What the files of a report are worth on a folder of pictures with truth, for `edgeseg bench --data`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.errors import EdgesegError

MEANS = ("miou", "boundary_f", "pixel_accuracy")


def judge(report: dict[str, Any], folder: Path, limit: int) -> list[Any]:
    """Give every row `measured_accuracy`, in place; the worst pictures of every int8 file, for the page.

    What cannot be judged costs a row its figures and says why in `accuracy_error`. Raises DataError where the folder is none.
    """
    from edgeseg.report.page import Picture
    from edgeseg.report.predict import open_predictor
    from edgeseg.report.worst import worst_sheet
    from edgeseg.train.evaluate import evaluate
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
                result = evaluate(predictor.judge, truth, predictor.person_class, limit=limit)
                means = {key: round(result[key], 4) for key in MEANS if result.get(key) is not None}
                judged[row["path"]] = {"measured_accuracy": {"data": folder.name, "images": result["images"], **means}}
                if row["precision"] == "int8" and (reference := _reference(row, report)) is not None:
                    pairs = truth.pairs[:limit]
                    pictures = zip((pair[0].stem for pair in pairs), truth.load(limit), strict=True)
                    flat = ((name, frame, ids) for name, (frame, ids) in pictures)
                    sheet, _ = worst_sheet(flat, _ids(predictor, truth), _ids(reference, truth))
                    title = f"{Path(row['path']).name}: the worst of {len(pairs)} pictures of {folder.name}"
                    sheets.append(Picture(f"{title}; picture, truth, float, int8", sheet))
            except EdgesegError as error:
                judged[row["path"]] = {"accuracy_error": str(error)}
        row |= judged[row["path"]]
    return sheets


def _ids(predictor: Any, truth: Any) -> Any:
    """Frame -> ids as the truth counts them."""
    if not truth.binary:
        return predictor.predict
    return lambda frame: (predictor.predict(frame) == predictor.person_class).astype("uint8")


def _reference(row: dict[str, Any], report: dict[str, Any]) -> Any:
    """The float file of the same model in the report, else the float network of that name; None where there is neither."""
    from edgeseg.report.predict import open_predictor

    for candidate in _candidates(row, report):
        try:
            return open_predictor(candidate)
        except EdgesegError:
            continue
    return None


def _candidates(row: dict[str, Any], report: dict[str, Any]) -> Iterator[str]:
    for other in report["results"]:
        if "error" not in other and other["model"] == row["model"] and other["precision"] == "float32":
            yield other["path"]
    yield row["model"]
