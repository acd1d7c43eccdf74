"""The progress bar, on a terminal and without one."""

import io
import sys

from edgeseg.commands.terminal import Bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(text):
    """The lines that a terminal shows: after \\r a line is written anew, and \\033[K clears it."""
    lines = []
    for line in text.replace("\033[?25l", "").replace("\033[?25h", "").split("\n"):
        parts = line.split("\r")
        lines.append(parts[-1].replace("\033[K", "").rstrip())
    return lines


def test_lines_are_said_above_the_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    bar = Bar("training", eta=False)
    bar.show("epoch 1 of 4", 0.25)
    bar.say("epoch 1  loss 0.5")
    bar.show("epoch 2 of 4", 0.5)
    bar.close()
    lines = [line for line in shown(terminal.getvalue()) if line]
    assert lines[0] == "epoch 1  loss 0.5"
    assert len(lines) == 2
    assert lines[1].startswith("training  [")
    assert lines[1].endswith("50%  epoch 2 of 4")


def test_without_a_bar_lines_are_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    bar = Bar("training")
    bar.say("resuming")
    bar.close()
    assert terminal.getvalue() == "resuming\n"
