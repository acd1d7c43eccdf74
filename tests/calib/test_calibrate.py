"""The choice by measured error, its cache, and what is said of unsuitable pictures."""

import pytest
import torch
from torch import nn

from edgeseg.errors import DataError
from edgeseg.export.quiet import quiet

with quiet():
    from edgeseg.calib import cache, suitability
    from edgeseg.calib.calibrate import JUDGED, calibrate, divide, table
    from edgeseg.calib.judge import EQUAL_DB, Candidate, best, classes, decibels, score
    from edgeseg.calib.observers import OBSERVERS
    from edgeseg.calib.simulate import choose, in_float, ranges, rounded
    from edgeseg.compress import quantize

from tests.calib.graphs import Chain, collect, images, prepared


def row(name, sqnr_db, agreement):
    return Candidate(name, False, False, sqnr_db, agreement)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("a", 30.0, 0.99), ("b", 20.0, 0.999)], "b"),  # ten times fewer pixels change
        ([("a", 30.0, 0.9890), ("b", 20.0, 0.9900)], "b"),  # 1.10 times as many, and a little: different
        ([("a", 30.0, 0.9895), ("b", 20.0, 0.9900)], "a"),  # 1.05 times as many: no different, and a has less noise
        ([("a", 30.0, 1.0), ("b", 31.0, 1.0)], "b"),
        ([("a", 30.0, 1.0), ("b", 30.0, 1.0)], "a"),
        ([("a", -200.0, 0.5)], "a"),
    ],
)
def test_the_least_error(rows, expected):
    rows = [row(*r) for r in rows]
    if rows[0].agreement == 0.9890:
        rows[0] = row("a", 30.0, 0.98899)
    assert best(rows).observer == expected


@pytest.mark.parametrize(
    ("signal", "noise", "expected"),
    [(1000.0, 1.0, 30.0), (1.0, 0.0, EQUAL_DB), (0.0, 0.0, EQUAL_DB), (0.0, 1.0, -EQUAL_DB), (1.0, float("nan"), -EQUAL_DB)],
)
def test_decibels(signal, noise, expected):
    assert decibels(signal, noise) == pytest.approx(expected)


def test_classes_of_one_channel_and_of_several():
    assert classes(torch.tensor([[[[-1.0, 0.0, 2.0]]]])).tolist() == [[[0, 0, 1]]]
    assert classes(torch.tensor([[[[1.0, 5.0]], [[2.0, 3.0]]]])).tolist() == [[[1, 0]]]


def cut_in_half():
    """(a graph that copies what it gets, with a range of 0..0.5; an image whose third channel alone is 1, the others 0)"""
    conv = nn.Conv2d(3, 3, 1, groups=3)
    conv.weight.data, conv.bias.data = torch.ones(3, 1, 1, 1), torch.zeros(3)
    graph = prepared(nn.Sequential(conv))
    (observer,) = ranges(graph).values()
    observer.chosen = (0.0, 0.5)
    image = torch.zeros(1, 3, 8, 8)
    image[:, 2] = 1.0
    return graph, image


def test_score_by_hand():
    """A 1x1 convolution that copies, with an output range of 0..255/510 in place of 0..1: what is above is cut in half."""
    graph, image = cut_in_half()
    # signal 64 * 1, noise 64 * 0.25; class 2 everywhere in both
    sqnr_db, agreement = score(graph, [image], [image])
    assert sqnr_db == pytest.approx(10 * torch.tensor(4.0).log10().item(), abs=1e-3)
    assert agreement == 1.0


@pytest.mark.parametrize("count", [1, 5, JUDGED, 2 * JUDGED - 1, 2 * JUDGED, 100])
def test_pictures_are_divided_where_there_are_enough(count):
    pictures = [torch.full((1,), float(i)) for i in range(count)]
    measured, judged = divide(pictures)
    ids, judges = ({int(p) for p in part} for part in (measured, judged))
    assert len(judges) == min(count, JUDGED)
    if count < 2 * JUDGED:
        assert ids == set(range(count))
        assert judges <= ids
    else:
        assert not ids & judges
        assert ids | judges == set(range(count))


@pytest.fixture
def chain():
    torch.manual_seed(0)
    return prepared(Chain())


def test_everything_is_tried_and_the_best_is_kept(chain):
    told = []
    found = calibrate(chain, images(), progress=lambda what, share: told.append((what, share)))
    plain = [c.observer for c in found.candidates if not c.equalised and not c.corrected]
    assert plain == list(OBSERVERS)
    assert [c.equalised for c in found.candidates].count(True) >= 2
    assert [c.corrected for c in found.candidates].count(True) == 1
    assert found.chosen == best(found.candidates)
    assert (found.pictures, found.judged, found.apart) == (6, 6, False)
    assert [s for _, s in told] == sorted(s for _, s in told)
    assert told[-1] == ("done", 1.0)
    assert told[-2][1] == pytest.approx(1.0)
    # the graph is left as the one that was chosen: its error is the one of the table
    with torch.no_grad(), in_float(prepared_again := fresh()):
        references = [prepared_again(p) for p in images()]
    assert score(chain, images(), references) == pytest.approx((found.chosen.sqnr_db, found.chosen.agreement), abs=1e-4)
    assert len(table(found)) == 2 + len(found.candidates)
    assert sum(line.startswith("*") for line in table(found)) == 1


def fresh():
    torch.manual_seed(0)
    return prepared(Chain())


@pytest.mark.parametrize("observer", OBSERVERS)
def test_one_observer_without_corrections(chain, observer):
    found = calibrate(chain, images(), observer=observer, corrections=False)
    assert [(c.observer, c.equalised, c.corrected) for c in found.candidates] == [(observer, False, False)]


def test_a_single_picture_will_do_and_none_will_not(chain):
    assert calibrate(chain, images(1)).pictures == 1
    with pytest.raises(DataError, match="--calib"):
        calibrate(chain, [])


def test_what_is_kept_is_found_again_and_converts_alike(chain, tmp_path):
    first = calibrate(chain, images(), folder=tmp_path)
    again = fresh()
    second = calibrate(again, images(), folder=tmp_path)
    assert (first.cached, second.cached) == (False, True)
    assert (first.chosen, first.candidates) == (second.chosen, second.candidates)
    picture = images(1)[0]
    with quiet(), torch.no_grad():
        one, two = (quantize.convert(graph) for graph in (chain, again))
        assert torch.equal(one(picture), two(picture))


@pytest.mark.parametrize("change", ["weights", "pictures", "observer", "policy"])
def test_anything_else_is_measured_anew(chain, tmp_path, change):
    calibrate(chain, images(), folder=tmp_path)
    again, pictures, observer = fresh(), images(), "auto"
    if change == "weights":
        again.get_parameter("last.bias").data += 0.1
    elif change == "pictures":
        pictures[0] = pictures[0].flip(1)
    elif change == "observer":
        observer = "mse"
    else:
        again = prepared(nn.Sequential(Chain(), nn.ReLU()))
    assert not calibrate(again, pictures, observer=observer, folder=tmp_path).cached


@pytest.mark.parametrize("damage", [b"", b"no safetensors", None])
def test_a_damaged_entry_is_passed_over(chain, tmp_path, damage):
    calibrate(chain, images(), folder=tmp_path)
    (entry,) = tmp_path.iterdir()
    entry.write_bytes(entry.read_bytes()[:-20] if damage is None else damage)
    found, note = cache.load(tmp_path, entry.stem, chain)
    assert found is None
    assert "damaged" in note
    assert not calibrate(fresh(), images(), folder=tmp_path).cached
    assert calibrate(fresh(), images(), folder=tmp_path).cached  # it was mended


def test_a_cache_that_cannot_be_written_is_a_note(chain, tmp_path):
    (tmp_path / "file").write_text("")
    assert "not kept" in calibrate(chain, images(), folder=tmp_path / "file" / "below").note


def test_the_oldest_entries_go(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "KEPT", 2)
    for i in range(4):
        assert cache.save(tmp_path, f"key{i}", cache.Entry({}, {"w": torch.ones(1)}, {})) == ""
    assert len(list(tmp_path.iterdir())) == 2


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv("EDGESEG_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.default_folder() == tmp_path / "xdg" / "edgeseg" / "calibration"
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path / "mine"))
    assert cache.default_folder() == tmp_path / "mine" / "calibration"


@pytest.mark.parametrize(("pictures", "says"), [(1, "1 picture for"), (15, "15 pictures for"), (16, None)])
def test_too_few_pictures(pictures, says):
    warnings = suitability.of_number(pictures)
    assert warnings == [] if says is None else says in warnings[0]


def test_clipped_share_by_hand():
    """A copying convolution with a range of 0..0.5: of three channels one is 1, that is a third of the values."""
    graph, image = cut_in_half()
    found = suitability.clipped(graph, [image])
    assert (found.share, found.worst_share, found.worst) == (pytest.approx(1 / 3), pytest.approx(1 / 3), "0")
    (warning,) = suitability.of_clipping(found)
    assert "33.3% of 0" in warning
    assert suitability.of_clipping(suitability.clipped(graph, [image / 2])) == []


def test_training_shift_by_hand():
    """Channel means 0.5, 0.5, 0.5 against learnt means 0.5, 0, 2.5 with deviations 1, 0.5, 2: 0, 1 and 1, on average 2 / 3."""
    norm = nn.BatchNorm2d(3, eps=0.0)
    norm.running_mean, norm.running_var = torch.tensor([0.5, 0.0, 2.5]), torch.tensor([1.0, 0.25, 4.0])
    network = nn.Sequential(norm).eval()
    shift = suitability.training_shift(network, [torch.full((1, 3, 4, 4), v) for v in (0.25, 0.75)])
    assert shift == pytest.approx(2 / 3)
    assert "0.67" in suitability.of_shift(shift)[0]
    assert not norm._forward_pre_hooks
    assert suitability.training_shift(nn.Sequential(nn.Conv2d(3, 1, 1)), images(1)) is None
    assert suitability.of_shift(None) == []


def test_every_range_is_rounded(chain):
    collect(chain, images())
    choose(chain, "percentile")
    names = ranges(chain).keys()
    with torch.no_grad(), rounded(chain) as made:
        assert made.keys() == names
