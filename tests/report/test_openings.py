from edgeseg.report.openings import Openings


def test_openings_take_turns():
    openings = Openings([lambda: "a", lambda: "b", lambda: "c"])
    heard = []
    for _ in range(4):
        heard += [openings(), openings()]
        openings.next()
    assert heard == ["a", "a", "b", "b", "c", "c", "a", "a"]
