"""One thread in tests: beside other work, threads of small networks wait for one another longer than they compute."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys

import cv2
import pytest
from hypothesis import settings

cv2.setNumThreads(1)
settings.register_profile("edgeseg", deadline=None)  # how long an example takes says more of the machine than of the code
settings.load_profile("edgeseg")


@pytest.fixture(autouse=True)
def same_weights():
    """Networks that a test makes begin with the same weights in every run, whatever ran before."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the cache or the settings of whoever runs it."""
    monkeypatch.setenv("EDGESEG_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
