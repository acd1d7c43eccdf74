"""A systemd user unit, so that the virtual camera is there whenever its user is logged in."""

from __future__ import annotations

import sys

_UNIT = """\
# edgeseg as a service of yours. To install it:
#   edgeseg doctor --systemd-unit > ~/.config/systemd/user/edgeseg.service
#   systemctl --user daemon-reload && systemctl --user enable --now edgeseg
# Options go to ~/.config/edgeseg/blur.toml, which is read again while it runs; those given below win over the file.
[Unit]
Description=edgeseg: the camera with its background blurred, for every program
After=pipewire.service

[Service]
ExecStart={command} blur --webcam --output vcam --threads auto
# A camera may stay taken for some seconds after a program that held it was killed.
Restart=on-failure
RestartSec=15
KillSignal=SIGINT
TimeoutStopSec=10
NoNewPrivileges=yes

[Install]
WantedBy=default.target
"""


def systemd_unit(executable: str = sys.executable) -> str:
    """The unit's text; it runs this very edgeseg by `executable`, a Python interpreter."""
    return _UNIT.format(command=f"{_quoted(executable)} -m edgeseg")


def _quoted(path: str) -> str:
    """As systemd.syntax(7) wants it: specifiers doubled, in quotes where there are blanks."""
    text = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if any(c in text for c in ' \t"\\') else text
