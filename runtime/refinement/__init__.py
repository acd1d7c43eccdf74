"""From the network's coarse matte to a finished one: carried and steadied in time, shaped, fitted to edges, enlarged."""

from edgeseg.runtime.refinement.refiner import Refinement, refine
from edgeseg.runtime.refinement.smoothing import Smoother

__all__ = ["Refinement", "Smoother", "refine"]
