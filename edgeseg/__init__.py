"""edgeseg: image segmentation made small, proven equal, and run on small devices."""

from pathlib import Path as _Path

__version__ = "0.1.0"

# In a checkout, export/, runtime/ and calib/ lie beside this folder, not inside it (ARCHITECTURE.md, "Packaging").
if not (_Path(__file__).parent / "runtime").is_dir():
    __path__.append(str(_Path(__file__).resolve().parent.parent))
