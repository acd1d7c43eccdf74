"""`edgeseg data`: from published data sets to data folders, and what such a folder holds. Bodies import late, as in `cli`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeseg.commands.terminal import emit_json, json_option, path_type
from edgeseg.errors import DataError
from edgeseg.train.readers import READERS

FORMATS = "\n".join(f"{name:16}{what}" for name, what in READERS.items())


@click.group()
def data() -> None:
    """Data folders: import published sets, look at them, check them.

    A data folder is images/ with labels/ (8-bit class ids, 255 ignored; classes.csv) or masks/ (the person, 0 and 255).
    """


@data.command(
    "import",
    help=f"""Read a data set of FORMAT from the folder SOURCE, as it is published, and write the data folder OUT.

What cannot be used is counted and named; pairs that are there already are kept, so that an import can be stopped and repeated.
Where the truth is not known (void, crowds) labels are 255 and masks 0: to keep it for persons, import labels of the classes
background,person instead of masks.

\b
{FORMATS}

\b
edgeseg data import voc VOCdevkit voc-train --split train
edgeseg data import coco coco2017 persons --split val2017 --classes background,person --longest 512
edgeseg data import labelme drawn my-masks --person
""",
)
@click.argument("format_", metavar="FORMAT", type=click.Choice(list(READERS)))
@click.argument("source", type=path_type)
@click.argument("out", type=path_type)
@click.option("--split", metavar="NAME", help="Part of the set, as it names them. [default: train, or all]")
@click.option("--classes", metavar="A,B,C", help="Only these, in this order; others become background if named, else ignored.")
@click.option("--person", is_flag=True, help="Write masks/ of the person (with --classes: of these) instead of labels/.")
@click.option("--longest", metavar="N", type=click.IntRange(8), help="Shrink pictures to N pixels at their longer side.")
@click.option("--limit", metavar="N", type=click.IntRange(1), help="Only the first N pictures.")
@json_option
def import_(
    format_: str,
    source: Path,
    out: Path,
    split: str | None,
    classes: str | None,
    person: bool,
    longest: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    from edgeseg.train.import_data import NAMED, import_data
    from edgeseg.train.readers import open_reader

    if not source.exists():
        raise DataError(f"{source} does not exist")
    collection = open_reader(format_)(source, split)
    chosen = (classes or "").split(",")
    with click.progressbar(length=len(collection.items[:limit]), label="importing", file=sys.stderr) as bar:
        report = import_data(collection, out, chosen, person, longest, limit, lambda: bar.update(1))
    skipped = {reason: len(messages) for reason, messages in report.skipped.items()}
    for reason, messages in report.skipped.items():
        for message in messages[:NAMED]:
            click.echo(f"skipped ({reason}): {message}", err=True)
    if as_json:
        result = {"out": str(out), "written": report.written, "already_there": report.already_there}
        emit_json({**result, "skipped": report.skipped, "left_out": dict(report.left_out.most_common())})
    else:
        click.echo(f"{out}: {report.written} pairs written, {report.already_there} were there already")
        for reason, count in skipped.items():
            click.echo(f"  {count} skipped: {reason}")
        for name, count in report.left_out.most_common(20):
            click.echo(f"  left out: {name}, in {count} pictures")
    if not report.written and not report.already_there:
        raise DataError(f"nothing could be imported from {source}; {sum(skipped.values())} pictures were skipped")


@data.command()
@click.argument("folder", metavar="DIR", type=path_type)
@click.option("-o", "--output", metavar="FILE", type=path_type, help="Draw a contact sheet to FILE (.jpg or .png).")
@click.option("--count", default=24, show_default=True, type=click.IntRange(1, 600), help="Pictures on the sheet.")
@click.option("--seed", default=0, show_default=True, help="Which pictures: another number, others.")
@json_option
def show(folder: Path, output: Path | None, count: int, seed: int, as_json: bool) -> None:
    """What a data folder holds: pictures by source, pixels by class, class weights; and a sheet of pictures with their truth.

    Weights: ENet's, 1 / ln(1.02 + share), and median frequency.
    """
    from dataclasses import asdict

    from edgeseg.train.survey import open_folder, survey, table

    opened = open_folder(folder)
    with click.progressbar(length=len(opened.pictures), label="reading", file=sys.stderr) as bar:
        found = survey(opened, lambda: bar.update(1))
    rows = table(opened, found)
    if output is not None:
        from edgeseg.train.sheet import draw, write_sheet

        note = f"{folder.name}: {found.pictures} pictures, sources: {len(found.sources)}"
        write_sheet(output, draw(opened, count, seed, rows, note))
    problems = {what: len(names) for what, names in found.problems.items()}
    if as_json:
        result = {"pictures": found.pictures, "truth": "masks" if opened.masks else "labels", "problems": problems}
        emit_json({**result, "sources": dict(found.sources.most_common()), "classes": [asdict(row) for row in rows]})
        return
    click.echo(f"{found.pictures} pictures with {'masks' if opened.masks else 'labels'}")
    for name, number in found.sources.most_common(20):
        click.echo(f"  {number:6} {name}")
    if len(found.sources) > 20:
        click.echo(f"  and {len(found.sources) - 20} more sources")
    width = max((len(row.name) for row in rows), default=0)
    click.echo(f"{'class':{width + 4}}  share of pixels  ENet weight  median frequency")
    for row in rows:
        click.echo(f"{row.id:3} {row.name:{width}}  {row.share:15.3%}  {row.enet:11.3f}  {row.median_frequency:16.3f}")
    for what, number in problems.items():
        click.echo(f"{number} {what}; edgeseg data check names them", err=True)


@data.command()
@click.argument("folder", metavar="DIR", type=path_type)
@json_option
def check(folder: Path, as_json: bool) -> None:
    """Look for what is wrong with a data folder; exit status 1 where something is.

    Missing pairs, files that cannot be read, truth of another size than its picture, ids outside classes.csv, classes without a
    pixel.
    """
    from edgeseg.train.survey import open_folder, survey

    opened = open_folder(folder)
    with click.progressbar(length=len(opened.pictures), label="reading", file=sys.stderr) as bar:
        found = survey(opened, lambda: bar.update(1))
    if as_json:
        emit_json({"pictures": found.pictures, "ok": not found.problems, "problems": found.problems})
    else:
        for what, names in found.problems.items():
            click.echo(f"{len(names)} {what}:")
            for name in names[:10]:
                click.echo(f"  {name}")
            if len(names) > 10:
                click.echo(f"  and {len(names) - 10} more (--json names all)")
        if not found.problems:
            click.echo(f"{found.pictures} pictures, nothing wrong")
    if found.problems:
        raise DataError(f"{folder}: " + ", ".join(f"{len(names)} {what}" for what, names in found.problems.items()))
