"""A TFLite file as the object tree of its schema, for whoever counts or edits it. Needs no interpreter, only the schema that
comes with LiteRT."""

from __future__ import annotations

import functools
import importlib.util
import struct
from typing import Any

from edgeseg.errors import MissingExtraError, ModelError

CUSTOM = "CUSTOM"


def parse(data: bytes) -> Any:
    """The model. ModelError where the bytes are none, MissingExtraError without LiteRT."""
    if importlib.util.find_spec("ai_edge_litert") is None:
        raise MissingExtraError("ai-edge-litert", "litert", "reading the operators of a TFLite file")
    from ai_edge_litert import schema_py_generated as schema

    try:
        if data[4:8] != b"TFL3":
            raise ValueError("no TFL3 in its head")
        return schema.ModelT.InitFromPackedBuf(data, 0)
    except (ValueError, IndexError, TypeError, struct.error) as error:
        raise ModelError(f"the file is truncated or no valid TFLite model ({error}); export or copy it again") from None


@functools.cache
def operators() -> dict[int, str]:
    """Code of a builtin operator -> its name, as CONV_2D."""
    from ai_edge_litert import schema_py_generated as schema

    return {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}


@functools.cache
def tensor_types() -> dict[int, str]:
    """Code of a tensor's type -> its name, as INT8."""
    from ai_edge_litert import schema_py_generated as schema

    return {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}


def operator_name(model: Any, operator: Any) -> str:
    """As CONV_2D; a custom one by its own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    name = operators().get(max(code.builtinCode, code.deprecatedBuiltinCode), f"OPERATOR_{code.builtinCode}")
    return f"{CUSTOM} {code.customCode.decode(errors='replace')}" if name == CUSTOM and code.customCode else name


def operator_code(model: Any, name: str, version: int) -> int:
    """Where the builtin operator `name`, as TILE, stands in the list of those that `model` uses; it is put there if missing."""
    from ai_edge_litert import schema_py_generated as schema

    code = getattr(schema.BuiltinOperator, name)
    codes = [c.builtinCode for c in model.operatorCodes]
    if code not in codes:
        model.operatorCodes.append(new := schema.OperatorCodeT())
        new.builtinCode = new.deprecatedBuiltinCode = code
        new.version = version
        codes.append(code)
    return codes.index(code)
