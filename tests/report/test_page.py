"""The page in a real browser: no error, no request, nothing to scroll sideways, at the width of a telephone and of a desk."""

import base64
import html
import json
import re
import shutil
import subprocess

import pytest

pytest.importorskip("jinja2")

from edgeseg.report.changes import cells, steps
from edgeseg.report.page import Picture, to_html
from tests.report.pages import report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
# The page in a frame, since a window has a least width; a script that says what stands out of it, for --dump-dom to print.
FRAME = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><body style="margin:0">
<iframe style="width:{width}px;height:1200px;border:0" srcdoc="{page}"></iframe>
<script>
  const frame = document.querySelector("iframe");
  frame.addEventListener("load", () => {{
    const inner = frame.contentDocument, wide = inner.documentElement.clientWidth;
    const out = [...inner.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > wide + 0.5
      && !e.parentElement.closest(".scroll"));
    const seen = frame.contentWindow.performance.getEntriesByType("resource").map(e => e.name);
    const found = {{wide, scroll: inner.documentElement.scrollWidth, out: out.map(e => e.outerHTML.slice(0, 80)),
      requests: seen.filter(n => !n.startsWith("data:"))}};
    const text = btoa(unescape(encodeURIComponent(JSON.stringify(found))));
    document.body.insertAdjacentHTML("beforeend", `<pre id="found">${{text}}</pre>`);
  }});
</script>"""


@pytest.fixture(scope="module")
def page():
    reports = [report(), report(1.2, seed=1), report(3, {"board": "Raspberry Pi 5 Model B Rev 1.0"})]
    named = [(f"run{i}.json", r) for i, r in enumerate(reports)]
    picture = Picture("worst: <a>", base64.b64decode(PIXEL))
    return to_html(
        reports, [picture], changes=cells(steps(named), 0.05), changes_note="How to read", failures=[("pi@desk", "no answer")]
    )


def browse(page, folder, width):
    path = folder / "page.html"
    path.write_text(FRAME.format(width=width, page=html.escape(page)))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"]
    flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr"]
    flags += [f"--user-data-dir={folder / 'user'}", "--window-size=1500,1200", "--virtual-time-budget=2000"]
    command = [BROWSER, *flags, "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<pre id="found">([\w+/=]+)</pre>', done.stdout)
    assert found, done.stderr[-2000:]
    return json.loads(base64.b64decode(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [360, 1440])
def test_in_a_browser(page, tmp_path, width):
    found, console = browse(page, tmp_path, width)
    assert console == []
    assert found["requests"] == []
    assert found["wide"] == width
    assert found["out"] == []
    assert found["scroll"] == width


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_the_probe_sees_what_it_looks_for(tmp_path):
    bad = '<html><body><div style="width:2000px">x</div><script>undefinedFunction()</script></body></html>'
    found, console = browse(bad, tmp_path, 800)
    assert found["out"]
    assert found["scroll"] >= 2000
    assert any("undefinedFunction" in line for line in console)


def test_everything_is_on_it(page):
    for needle in (
        "What became of files",
        "SLOWER",
        "How to read",
        "2 machines, 3 measurements, 2026-01-01",
        "pi@desk",
        "no answer",
        "How latency is spread",
        "Where it goes: person-256x256-int8.tflite",
        "15 more layers",
        "of the limit by memory",
        "Roofline",
        "Accuracy against cost",
        "At best, elsewhere: estimates",
        "Nothing here was measured",
        "broken.onnx",
        "31.40",
        "Raspberry Pi 5 Model B",
        "worst: &lt;a&gt;",
        "FLOPs = 2 x MACs",
        "prefers-color-scheme: dark",
        "@media print",
    ):
        assert needle in page, needle
    assert "<script" not in page
    assert "http" not in page
    assert len(re.findall(r'<svg class="chart"', page)) == 2 * 3 + 2  # rooflines, and accuracy against latency and MACs


def tiles(page):
    return re.findall(r'<div class="tile( best)?">.*?<div class="name">([^<]+)<.*?<div class="big">([\d.]+) ', page)


def test_it_begins_with_what_matters(page):
    # Three reports of two files: of each model on each machine the quickest is marked.
    assert tiles(page)[:2] == [(" best", "person-256x256-int8.tflite", "2.50"), ("", "person-256x256-float32.onnx", "4.30")]
    assert len(tiles(page)) == 6
    assert "1.60x against float" in page
    assert "400 a second" in page
    assert page.index('class="tiles"') < page.index("What became of files") < page.index("How long")


def test_a_machine_that_was_busy_or_hot_is_named():
    page = to_html([report(device={"load_1min": 7.5, "throttled": True})])
    assert "The machine was at work in the minute before, with a load of 7.5" in page
    assert "slowed down for heat or voltage" in page
    assert "Other processes" not in to_html([report()])


def test_many_files_have_a_tile_for_each_model():
    reports = [report(1 + i / 10) for i in range(7)]
    assert [best for best, _, _ in tiles(to_html(reports))] == [" best"] * 7


def test_measurements_of_one_machine_are_told_apart_by_their_date(page):
    assert page.count("3.14 GHz, 2026-01-01 00:00:00") > 4
    assert "Rev 1.0, 2026" not in page
    assert "3.14 GHz, 2026" not in to_html([report()])


def test_what_cannot_be_is_not_claimed():
    """A layer that took less than a microsecond was not timed; one may beat the slope of main memory."""
    one = report()
    layers = one["results"][0]["layers"]
    layers[0] |= {"ms": 0.0004, "limit_share": 40.0}
    layers[1] |= {"limit_share": 1.3}
    page = to_html([one])
    before = to_html([report()])
    more = {said: page.count(said) - before.count(said) for said in ("too short to be timed", "above the limit by memory")}
    assert more == {"too short to be timed": 1, "above the limit by memory": 1}
    assert "4000%" not in page
    assert page.count("<circle") == before.count("<circle") - (layers[0]["macs"] > 0)


def test_what_was_not_counted_is_said_once_for_all_files_of_which_it_is_true():
    page = to_html([report()])
    assert "<li>ADD x 11 <small>(person-256x256-int8.tflite, person-256x256-float32.onnx)</small></li>" in page


def test_the_faster_file_is_named_first():
    one = report()
    one["comparisons"] = [{"first": 0, "second": 1, "value": 0.5, "low": 0.4, "high": 0.8, "verdict": "0.50x (0.40 to 0.80)"}]
    said = "person-256x256-int8.tflite is 2.00x (1.25 to 2.50) as fast as person-256x256-float32.onnx"
    assert said in to_html([one])


def test_an_empty_report_makes_a_page():
    empty = report() | {"results": [{"path": "x", "error": "reason"}], "comparisons": []}
    assert "reason" in to_html([empty])
