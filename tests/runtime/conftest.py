"""What the kernels do is tested once with them and once without."""

import pytest

from edgeseg.runtime import native


@pytest.fixture(params=["native", "opencv"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "native" and not native.available():
        pytest.skip("no kernels on this machine")
    if request.param == "opencv":
        monkeypatch.setattr(native, "available", lambda: False)
    way: str = request.param
    return way
