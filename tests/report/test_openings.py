from importlib import metadata

from edgeseg import assets
from edgeseg.report.openings import OPENINGS, Openings, network_beside, open_often
from edgeseg.report.reference import NETWORK


def test_openings_take_turns():
    openings = Openings([lambda: "a", lambda: "b", lambda: "c"])
    heard = []
    for _ in range(4):
        heard += [openings(), openings()]
        openings.next()
    assert heard == ["a", "a", "b", "b", "c", "c", "a", "a"]


def test_a_network_of_the_same_runtime_beside_a_file():
    session, run = open_often(assets.find(assets.DEFAULT, "tflite"), "litert", 1)
    assert session.backend == "litert"
    assert len(run.runs) == OPENINGS
    beside = network_beside(run, "litert", 1)
    assert beside is not None
    assert beside.name.startswith(f"{NETWORK} ")
    assert beside.name.endswith(f", ai_edge_litert {metadata.version('ai-edge-litert')}")
    beside.work()
    assert network_beside(run, "a backend of somebody else", 1) is None
