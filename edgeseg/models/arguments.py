"""Arguments of a network's constructor, as the command line has them: NAME=VALUE."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from edgeseg.errors import UsageError


def parse_arguments(settings: Sequence[str]) -> dict[str, Any]:
    """("width=0.5", "rates=[3, 6]") -> {"width": 0.5, "rates": [3, 6]}; what is no JSON is a string."""
    arguments: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"--set takes NAME=VALUE, got {setting!r}")
        try:
            arguments[key] = json.loads(text)
        except ValueError:
            arguments[key] = text
    return arguments
