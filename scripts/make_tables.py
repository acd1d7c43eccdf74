"""Writes the tables of measurements in README.md and benchmarks/README.md from what is stored. `tests/test_tables.py` compares.

python scripts/make_tables.py

A table stands between `<!-- table: NAME -->` and `<!-- end -->`; NAME is a key of TABLES. Figures come from
benchmarks/results/*.json, which `python benchmarks/run_all.py` measures (`make measure` does both), and from the cards of the
models that ship, which `scripts/make_assets.py` writes. docs/report-schema.md describes the JSON. Where nothing is stored there
is no table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
ASSETS = ROOT / "edgeseg" / "assets"
DOCUMENTS = (ROOT / "README.md", ROOT / "benchmarks" / "README.md")
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
DEFAULT = "person"
IDLE = 0.5  # load in the last minute
NETWORKS = {
    "int8_deeplab": "DeepLabv3+-MobileNetV2 1.0",
    "int8_enet_480": "enet-person",
    "int8_enet": "enet-person",
    "int8_person": "person",
    "int8_person_large": "person-large",
    "int8_person_small": "person-small",
}
FORMATS = {"tflite": "TFLite", "onnx": "ONNX"}
# Kinds of pictures as the cards name them -> as the README does; the others are in the cards.
KINDS = {
    "portraits": "portraits",
    "street fashion": "street fashion, upper and full bodies",
    "lecturers": "lecturers",
    "people in everyday scenes": "people in everyday scenes",
    "pictures with nobody": "pictures with nobody: share called person",
    "clip webcam-cap12": "a webcam clip of 53 s: pixels that flip a frame",
}
JUDGED = "int8 tflite"  # which of a card's files the README's figures are of

Stored = Mapping[str, Any]
Table = Callable[[Stored, Path], str]


def rewritten(text: str, results: Path = RESULTS, folder: Path = ASSETS) -> str:
    """`text` with all of its tables as they should be. KeyError where it names a table that there is not."""
    stored = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}

    def block(match: re.Match[str]) -> str:
        table = TABLES[match[2]](stored, folder)
        return match[1] + (f"{table}\n" if table else "") + match[3]

    return BLOCK.sub(block, text)


def of(name: str) -> Callable[[Callable[[Any], str]], Table]:
    """A table of one stored result; none while that is not there."""

    def table(render: Callable[[Any], str]) -> Table:
        return lambda stored, folder: render(stored[name]) if name in stored else ""

    return table


def int8(stored: Stored, folder: Path) -> str:
    """Each int8 file against the float file of its own format."""
    found = {name: stored[name] for name in NETWORKS if name in stored}
    rows = []
    for name, one in found.items():
        files = [row for row in one["result"]["results"] if "error" not in row]
        for kind, format_name in FORMATS.items():
            whole, quantised = (
                next((r for r in files if (r["format"], r["precision"]) == (kind, p)), None) for p in ("float32", "int8")
            )
            if whole is None or quantised is None:
                continue
            height, width = whole["size_hw"]
            ratio = quantised["speedup"]
            faster = (
                "no difference"
                if ratio["verdict"] == "no difference"
                else "{value:.2f}x ({low:.2f} to {high:.2f})".format(**ratio)
            )
            rows.append([f"{NETWORKS[name]}, {height}x{width}, float32 {format_name}", *_times(whole), "", ""])
            rows.append(
                [f"int8 {format_name}", *_times(quantised), f"{quantised['size_bytes'] / whole['size_bytes']:.2f}", faster]
            )
    head = ["file", "kB", "median ms", "p90 ms", "size of float", "int8 against float"]
    return _measured(found.values(), "one thread, 10 warm-up runs, {runs} runs each in turn", head, rows, "lrrrrl")


def _times(row: Stored) -> list[str]:
    return [f"{row['size_bytes'] / 1e3:.0f}", *(f"{row['latency_ms'][key]:.2f}" for key in ("median", "p90"))]


@of("frame_cost")
def frame(one: Any) -> str:
    """What a frame costs between camera and sink, against the plain way."""
    rows = []
    for row in one["result"]["rows"]:
        low, middle, high = row["ratio"]
        policy = "every frame" if row["keyframes"] == "every" else f"{row['inferred']:.0%} of the frames"
        times = [f"{row[key]:.2f}" for key in ("plain_ms", "ours_ms")]
        rows.append([row["size"], policy, row["what"], *times, f"{middle:.1f}x ({low:.1f} to {high:.1f})"])
    head = ["frame", "network runs on", "what", "plain way, ms", "edgeseg, ms", "ratio (quartiles)"]
    return _measured([one], "one thread, in turn", head, rows, "lllrrl")


@of("compression")
def compression(one: Any) -> str:
    """What `edgeseg compress` made of networks: before -> after, and the command."""
    rows = []
    for row in one["result"]["rows"]:
        # The others are of a class or a source.
        overall = {name: pair for name, pair in row["accuracy"].items() if "/" not in name}
        accuracy = ", ".join(f"{name} {before:.3f} -> {after:.3f}" for name, (before, after) in overall.items())
        inputs = " -> ".join(dict.fromkeys(f"{height}x{width}" for height, width in row["sizes_hw"]))
        macs, size = ([value / 1e6 for value in row["macs"]], [value / 1e3 for value in row["size_bytes"]])
        rows.append(
            [
                f"{row['from']} -> {row['to']}",
                inputs,
                "{:.0f} -> {:.0f}".format(*macs),
                "{:.0f} -> {:.0f}".format(*size),
                "{value:.2f}x ({low:.2f} to {high:.2f})".format(**row["speedup"]),
                accuracy,
                f"`{row['command']}`",
            ]
        )
    head = ["network", "input", "MMAC", "kB", "speed", "accuracy", "command"]
    return _measured([one], "one thread, in turn", head, rows, "llrrlll")


@of("halves")
def halves(one: Any) -> str:
    """What is left of each network that ships after half of its multiply-adds have been pruned away."""
    rows = []
    for row in one["result"]["rows"]:
        rows.append(
            [
                row["model"],
                "{:.0f} -> {:.0f}".format(*(value / 1e6 for value in row["macs"])),
                f"{row['size_bytes'] / 1e3:.0f}",
                f"{row['minutes']:.0f}",
                "{} {:.3f} -> {:.3f}".format(row["metric"], *row["accuracy"]),
                *(f"{row['agreement'][name]:.2%}" for name in ("tflite", "onnx")),
                str(row["float_layers"]),
            ]
        )
    head = ["network", "MMAC", "kB", "minutes of training", "accuracy", "TFLite as the network", "ONNX", "layers in float"]
    return _measured([one], "trained on these cores", head, rows, "lrrrlrrr", anew=one["command"])


@of("phone")
def phone(one: Any) -> str:
    """The network of phones and ours on the same pictures."""
    rows = one["result"]["rows"]
    names = list(rows[0]["figures"])
    lines = []
    for row in rows:
        number = next(iter(row["figures"].values()))["images"]
        lines.append([row["kind"], str(number), *(_figures(row["figures"][name]) for name in names)])
    return _measured(
        [one], "int8 files of ours", ["pictures", "number", *names], lines, "lr" + "r" * len(names), one["command"]
    )


def _figures(row: Stored) -> str:
    if "called_person" in row:
        return f"{row['called_person']:.2%}"
    return " / ".join("-" if row[key] is None else f"{row[key]:.3f}" for key in ("iou", "boundary_f"))


def trials(stored: Stored, folder: Path) -> str:
    """How often `edgeseg report` was right about the same file, and about one made slower."""
    found = [stored[name] for name in TRIALS if name in stored]
    if not found:
        return ""
    rows = []
    for result in (one["result"] for one in found):
        for kind, title in (("same", "the same file"), ("slower", "{value:.2f} times as long ({low:.2f} to {high:.2f})")):
            changes = [trial[kind] for trial in result["trials"]]
            values, lows = ([change[key] for change in changes] for key in ("value", "low"))
            loads = [change["load_1min"] for change in changes]
            rows.append(
                [
                    result["file"],
                    title.format(**result["slower"]),
                    f"{min(values):.3f} to {max(values):.3f}",
                    f"{min(lows):.3f} to {max(lows):.3f}",
                    f"{min(loads):.1f} to {max(loads):.1f}",
                    f"{result[f'{kind}_called_slower']} of {len(changes)}",
                ]
            )
    first = found[0]["result"]
    tolerance = f"called slower by more than {first['tolerance_percent']:g} %"
    head = ["file", "", "found, times as long", "low end of the interval", "load", tolerance]
    how = f"one thread, {first['min_seconds']:g} s a report at least"
    return _measured(found, how, head, rows, "llrrrr", f"python benchmarks/run_all.py {' '.join(TRIALS)}")


TRIALS = ("regression_trials", "regression_trials_onnx")


def models(stored: Stored, folder: Path) -> str:
    """The person models that ship, from index.json and their cards."""
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    scores = {name: card_scores((folder / f"{name}.md").read_text(encoding="utf-8")) for name in index}
    names = [name for name in index if any(kind.startswith("portraits") for kind in scores[name])]
    names.sort(key=lambda name: (name != DEFAULT, index[name]["macs"]))
    rows = [
        ["architecture", *(_architecture(folder / index[n]["checkpoint"]) for n in names)],
        ["input", *(", ".join("{}x{}".format(*size) for size in _sizes(index[n])) for n in names)],
        ["parameters, multiply-adds", *("{params:.2f} M, {macs:.0f} M".format(**_millions(index[n])) for n in names)],
        ["int8 TFLite, kB", *(f"{(folder / _file(index[n])).stat().st_size / 1e3:.0f}" for n in names)],
    ]
    for start, title in KINDS.items():
        cells = [next(((k, v) for k, v in scores[n].items() if k.startswith(start)), ("", ("", ""))) for n in names]
        number = next((number for _, (number, _) in cells if number), "")
        counted = f" ({number})" if not start.startswith("clip") else ""
        rows.append(
            [title.replace(":", f"{counted}:") if ":" in title else title + counted, *(_short(v) for _, (_, v) in cells)]
        )
    return table(["", *(f"`{n}`{' (default)' if n == DEFAULT else ''}" for n in names)], rows, "l" + "r" * len(names))


def card_scores(card: str) -> dict[str, tuple[str, str]]:
    """Kind of picture -> (how many, figures of the int8 TFLite file as the card writes them)."""
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in card.splitlines() if line.startswith("|")
    ]
    head = next((line for line in lines if line[0] == "pictures"), None)
    if head is None:
        return {}
    column = next(i for i, cell in enumerate(head) if cell.startswith(JUDGED))
    rows = lines[lines.index(head) + 2 :]
    return {row[0]: (row[1], row[column]) for row in rows if len(row) == len(head)}


def _short(figures: str) -> str:
    """IoU and boundary F as the card has them: rounded once more they could differ from what others round once."""
    return figures.replace("called person", "").replace("%", " %").strip()


def _architecture(checkpoint: Path) -> str:
    """From the JSON at the head of a safetensors file."""
    with checkpoint.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    card = json.loads(header["__metadata__"]["edgeseg.model"])
    backbone, pruned = str(card["arguments"].get("backbone", "")), "pruned" if card.get("shapes") else ""
    details = ", ".join(filter(None, (backbone, pruned)))
    return f"{card['architecture']}{f' ({details})' if details else ''}"


def _sizes(model: Stored) -> list[list[int]]:
    return [model["size"], *(framing["size"] for framing in model.get("framings", []))]


def _millions(model: Stored) -> dict[str, float]:
    return {key: model[key] / 1e6 for key in ("params", "macs")}


def _file(model: Stored) -> str:
    return next(str(file["path"]) for file in model["files"] if file["format"] == "tflite")


def _measured(stored: Any, how: str, head: list[str], rows: list[list[str]], align: str, anew: str = "make measure") -> str:
    """A table, and below it where and how its figures were measured."""
    if not rows:
        return ""
    stored = list(stored)
    machines = dict.fromkeys(_machine(one["device"]) for one in stored)
    dates = sorted({one["date"][:10] for one in stored})
    loads = [one["device"]["load_1min"] or 0 for one in stored]
    runs = [row["runs"] for one in stored for row in one["result"].get("results", []) if "runs" in row]
    how = how.format(runs=" to ".join(f"{number:,}" for number in sorted({min(runs), max(runs)})) if runs else "")
    busy = f"; **beside other work, of a load of {max(loads):.0f}**" if max(loads) > IDLE else ""
    days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{table(head, rows, align)}\n\n{'; '.join(machines)}; {how}; {days}{busy}. `{anew}` measures them anew."


def _machine(device: Stored) -> str:
    versions = device["versions"]
    packages = [
        f"{name} {versions[key]}"
        for key, name in (("ai-edge-litert", "LiteRT"), ("onnxruntime", "ONNX Runtime"))
        if key in versions
    ]
    return ", ".join([device["board"] or device["cpu"] or device["architecture"], f"{device['cores_usable']} cores", *packages])


def table(head: list[str], rows: list[list[str]], align: str) -> str:
    """Markdown; `align` has l or r for each column."""
    rule = ["---:" if side == "r" else "---" for side in align]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *rows))


TABLES: Mapping[str, Table] = {
    "int8": int8,
    "models": models,
    "frame-cost": frame,
    "compression": compression,
    "halves": halves,
    "phone": phone,
    "trials": trials,
}

if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(path)
