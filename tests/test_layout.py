"""The promises of the tree: what may import what, what is installed, and how large a file grows.

Every check is a function from source text to a list of complaints, so that the checks themselves are tested below.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
FOLDERS = {"edgeseg": "edgeseg", "export": "edgeseg.export", "runtime": "edgeseg.runtime", "calib": "edgeseg.calib"}
MAX_LINES = 400
LONGER = {"edgeseg/cli.py": 500}  # commands that take little each, in one place; their bodies only call

# area -> areas it may import besides itself. An entry with a dot is one module of an area.
ARROWS = {
    "errors": set(),
    "spec": {"errors"},
    "assets": {"errors"},
    "whole": {"errors"},
    "picture_size": set(),
    "runtime": set(),
    "models": set(),
    "compress": {"models"},
    "train": {"models"},
    # Training for int8 joins what others keep apart: pictures, the quantiser, calibration, and the form that is exported.
    "train.qat": {"models", "compress", "calib", "export.rewrites"},
    "calib": {"models"},
    "calib.frames": {"train.pictures"},  # the one reader of pictures of unknown origin
    "export": {"models", "calib", "compress.quantize", "compress.ranges", "runtime"},
    "report": {"models", "runtime"},
    # A recipe joins all that makes a network small with the training that heals it, and proves each step.
    "recipes": {"models", "compress", "train", "calib", "export", "report", "runtime"},
    "cli": {"models", "compress", "train", "calib", "export", "recipes", "report", "runtime", "commands"},
    "commands": {"models", "compress", "train", "calib", "export", "recipes", "report", "runtime"},
    "__main__": {"cli"},
    "__init__": set(),
}
LEAVES = {
    "errors",
    "spec",
    "assets",
    "whole",
    "picture_size",
}  # everybody may import them, but for what ARROWS says of the leaves themselves
TOP = {*LEAVES, "__init__", "__main__"}  # these get no leaves beyond their arrows

# area -> packages it may import; the standard library is always allowed.
TORCH = {"torch", "numpy", "safetensors"}
THIRD = {
    "runtime": {"numpy", "cv2", "av", "ai_edge_litert", "tflite_runtime", "onnxruntime", "pyvirtualcam", "picamera2", "tomli"},
    "models": TORCH,
    "compress": {*TORCH, "torchao", "torch_pruning", "cv2"},
    "train": {*TORCH, "cv2", "scipy", "matplotlib", "tensorboardX"},
    "calib": {*TORCH, "torchao", "cv2", "matplotlib"},
    "export": {
        *TORCH,
        *("torchao", "onnx", "onnx_ir", "onnxscript", "onnxruntime", "litert_torch", "ai_edge_litert", "ai_edge_quantizer"),
        *("flatbuffers", "ml_dtypes", "cv2", "google"),  # google.protobuf is what onnx is made of
    },
    "report": {"torch", "numpy", "cv2", "onnxruntime", "onnx", "google", "jinja2", "ai_edge_litert", "flatbuffers"},
    "recipes": {*TORCH, "cv2", "tomli", "optuna", "filelock", "matplotlib"},
    "cli": {"click", "torch", "numpy", "cv2"},
    "commands": {"click", "torch", "numpy", "cv2"},
}
# In these areas the packages that a device may lack are imported in the function that needs them, never at the top.
LATE = {
    "cli": {"numpy", "cv2", "torch", "onnx", "onnxruntime", "av"},
    "commands": {"numpy", "cv2", "torch", "onnx", "onnxruntime", "av"},
    "runtime": {"av", "ai_edge_litert", "tflite_runtime", "onnxruntime", "pyvirtualcam", "picamera2", "tomli"},
    "report": {"torch", "onnxruntime", "onnx", "google", "jinja2", "ai_edge_litert", "flatbuffers"},
    "calib": {"matplotlib"},
    "recipes": {"optuna", "matplotlib"},
    "train.metrics": {"torch"},
    "train.boundaries": {"torch"},
    "train.precision": {"torch"},
    "train.distance": {"torch"},
    "train.stability": {"torch"},
    "train.weights": {"torch"},
    "train.pictures": {"torch"},
    "train.readers.matlab": {"scipy"},
    "train.curves": {"matplotlib", "tensorboardX"},
    "train.sheet": {"torch"},
    "train.survey": {"torch"},
    "train.import_data": {"torch"},
    "train.data": {"torch"},
    "train.truth": {"torch"},
    "train.evaluate": {"torch"},
}
EXEMPT_FROM_LATE = {"report.cost"}  # its subject is a torch network


def modules():
    """Dotted name without "edgeseg." -> path, for every module that installs."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = [*package.split("."), *path.relative_to(ROOT / folder).with_suffix("").parts][1:]
            name = ".".join(parts)
            found[name.removesuffix(".__init__") if name != "__init__" else name] = path
    return found


def imports(source):
    """(dotted name, line, at the top level?) of every import; `from a import b` is both a and a.b."""
    tree = ast.parse(source)
    late = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)}
    # What stands under `if TYPE_CHECKING` is not imported when the program runs.
    typing_only = {
        id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.dump(i.test) for n in ast.walk(i)
    }
    for node in ast.walk(tree):
        top = id(node) not in late and id(node) not in typing_only
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield (module, node.lineno, top)
            yield from ((f"{module}.{alias.name}", node.lineno, top) for alias in node.names)


def complaints(name, source):
    """What module `name` (without "edgeseg.") imports and may not."""
    area = name.partition(".")[0]
    if area not in ARROWS:
        return [f"{name}: {area} is no area of the design; give it a row in ARROWS"]
    found = []
    for target, line, top in imports(source):
        root = target.partition(".")[0]
        if target.startswith("."):
            found.append(f"{name}:{line} imports {target}; write edgeseg.… in full")
        elif root in FOLDERS.keys() - {"edgeseg"}:
            found.append(f"{name}:{line} imports {target}; write edgeseg.{target}")
        elif root == "edgeseg":
            found += [f"{name}:{line} {area} may not import {target}"] if not _arrow_allows(name, target) else []
        elif root not in sys.stdlib_module_names:
            if root not in THIRD.get(area, set()):
                found.append(f"{name}:{line} {area} may not import {root}")
            elif top and name not in EXEMPT_FROM_LATE and root in LATE.get(name, LATE.get(area, set())):
                found.append(f"{name}:{line} imports {root} at the top; a device may lack it: import it in the function")
    return found


def _arrow_allows(name, target):
    area = name.partition(".")[0]
    parts = target.split(".")[1:]
    if not parts or parts[0] == "__version__":
        return True
    if parts[0] not in ARROWS:
        return False
    allowed = ARROWS.get(name, ARROWS[area]) | {area} | (set() if area in TOP else LEAVES)
    # `from edgeseg.compress import quantize` yields "compress" too, which alone says nothing where only a module is allowed.
    return parts[0] in allowed or any(
        a == ".".join(parts[:2]) or (len(parts) == 1 and a.startswith(f"{parts[0]}.")) for a in allowed
    )


def late_face(source):
    """Imports of ours at the top of cli.py and of commands/ that would make `--help` slow."""
    ours = [target for target, _, top in imports(source) if top and target.startswith("edgeseg")]
    # train.readers is the list of their names
    thin = ("edgeseg.errors", "edgeseg.commands", "edgeseg.train.readers.READERS")
    return [t for t in ours if t not in ("edgeseg", "edgeseg.__version__", "edgeseg.train.readers") and not t.startswith(thin)]


FORBIDDEN = [
    ("runtime.session", "import torch"),
    ("runtime.session", "def f():\n    import torch"),
    ("runtime.session", "import click"),
    *[
        ("runtime.session", f"def f():\n    from edgeseg.{a} import x")
        for a in ("models", "export", "calib", "compress", "train", "report")
    ],
    ("runtime.sinks", "import pyvirtualcam"),
    ("runtime.backends.ort", "import onnxruntime as ort"),
    ("models.enet", "from edgeseg.train import loop"),
    ("models.enet", "import onnx"),
    ("models.enet", "from edgeseg import runtime"),
    ("export.to_onnx", "from edgeseg.compress import prune"),
    ("export.to_onnx", "from edgeseg.compress.prune import x"),
    ("export.to_onnx", "from edgeseg.train.data import load"),
    ("train.loop", "from edgeseg.compress.qat import Plan"),
    ("train.qat", "from edgeseg.export.files import export"),
    ("compress.prune", "from edgeseg.recipes.recipe import Recipe"),
    ("train.loop", "import edgeseg.runtime.session"),
    ("train.metrics", "import torch"),
    ("report.page", "import torch"),
    ("report.page", "from edgeseg.export import parity"),
    ("errors", "from edgeseg import spec"),
    ("spec", "from edgeseg.assets import find"),
    ("assets", "from edgeseg.spec import Spec"),
    ("assets", "import numpy"),
    ("cli", "import numpy as np"),
    ("cli", "import cv2"),
    ("cli", "import torch"),
    ("calib.frames", "from export import parity"),
    ("calib.frames", "from edgeseg.train import data"),
    ("calib.observers", "from edgeseg.train.pictures import read_frame"),
    ("calib.frames", "from . import observers"),
    ("helpers.strings", ""),
]
ALLOWED = [
    ("runtime.session", "import numpy\nfrom edgeseg import assets\nfrom edgeseg.spec import Spec"),
    ("runtime.backends.ort", "def f():\n    import onnxruntime"),
    ("export.to_onnx", "from edgeseg.compress.quantize import x\nfrom edgeseg.compress import quantize"),
    ("export.parity", "from edgeseg.runtime.session import open_session\nimport edgeseg.errors"),
    ("train.qat", "from edgeseg.compress.qat import Plan\nfrom edgeseg.export.rewrites import rewrite"),
    ("recipes.work", "from edgeseg.train.loop import train\nfrom edgeseg.export.files import export"),
    ("train.evaluate", "from edgeseg.train.metrics import x\nfrom edgeseg.models import MODELS"),
    ("report.cost", "import torch"),
    ("report.catalogue", "def f():\n    import torch"),
    ("assets", "from edgeseg.errors import ModelError"),
    ("cli", "import click\ndef f():\n    import torch"),
    ("cli", "import click\nfrom edgeseg import __version__\ndef f():\n    from edgeseg.export.parity import x"),
    ("models.enet", "from __future__ import annotations\nimport math, torch"),
]


@pytest.mark.parametrize(("name", "source"), FORBIDDEN)
def test_the_check_finds_what_is_forbidden(name, source):
    assert complaints(name, source)


@pytest.mark.parametrize(("name", "source"), ALLOWED)
def test_the_check_lets_pass_what_is_allowed(name, source):
    assert complaints(name, source) == []


@pytest.mark.parametrize("name", modules())
def test_arrows_and_packages(name):
    assert complaints(name, modules()[name].read_text(encoding="utf-8")) == []


def test_the_tree_is_seen():
    assert {
        "cli",
        "errors",
        "__init__",
        "runtime.session",
        "models.enet",
        "export",
        "runtime.backends",
        "calib",
    } <= modules().keys()


def test_the_face_of_the_program_is_thin():
    assert late_face("from edgeseg.runtime import session") == ["edgeseg.runtime", "edgeseg.runtime.session"]
    for name, path in modules().items():
        if name == "cli" or name.startswith("commands."):
            assert late_face(path.read_text(encoding="utf-8")) == [], name


def test_package_list_is_the_tree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tree = {
        ".".join([package, *path.parent.relative_to(ROOT / folder).parts])
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert sorted(project["packages"]) == sorted(tree)
    assert project["package-dir"] == {package: folder for folder, package in FOLDERS.items() if folder != package}


def test_no_module_without_a_package():
    missing = [path for path in modules().values() if not (path.parent / "__init__.py").is_file()]
    assert missing == []


def test_export_does_not_shadow_onnx():
    assert not (ROOT / "export" / "onnx.py").exists()  # run by path, it would be what `import onnx` finds


def test_no_file_is_too_long():
    folders = [*FOLDERS, "tests", "benchmarks", "scripts"]
    lengths = {p: len(p.read_text(encoding="utf-8").splitlines()) for f in folders for p in (ROOT / f).rglob("*.py")}
    assert len(lengths) > 50
    names = {p.relative_to(ROOT).as_posix(): n for p, n in lengths.items()}
    assert {name: n for name, n in names.items() if n > LONGER.get(name, MAX_LINES)} == {}


HEAVY = ("torch", "numpy", "cv2", "onnxruntime", "ai_edge_litert", "av")
STARTS = [
    ("runtime", "import edgeseg.runtime.session", ("torch", "click", "onnxruntime", "ai_edge_litert", "av")),
    ("assets", "import edgeseg, edgeseg.assets, edgeseg.spec", HEAVY),
    ("bench", "import edgeseg.report.bench, edgeseg.report.page", ("torch", "matplotlib", "jinja2", "click", "onnx")),
    (
        "evaluation",
        "import edgeseg.report.steady, edgeseg.train.evaluate, edgeseg.train.truth, edgeseg.train.stability",
        ("torch",),
    ),
    (
        "readers",
        "import edgeseg.train.sheet, edgeseg.train.import_data\n"
        "from edgeseg.train.readers import READERS, open_reader\n"
        "[open_reader(name) for name in READERS]",
        ("torch", "scipy", "click"),
    ),
    ("help", "import edgeseg.cli; edgeseg.cli.main(['--help'], standalone_mode=False)", HEAVY),
]


@pytest.mark.parametrize(("code", "absent"), [c[1:] for c in STARTS], ids=[c[0] for c in STARTS])
def test_what_a_fresh_process_loads(code, absent):
    code += f"\nimport sys\nloaded = {{'torch', *{absent!r}}} & sys.modules.keys()\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
