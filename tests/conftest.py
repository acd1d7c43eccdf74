"""One thread in tests: beside other work, threads of small networks wait for one another longer than they compute."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2

cv2.setNumThreads(1)
