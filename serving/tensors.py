"""The body of a request of the Open Inference Protocol in, its tensors out; and tensors in, an answer out.

Triton, KServe and OpenVINO Model Server speak this protocol (version 2), and so do their clients. Numbers
come in the JSON text, or behind it in binary form, as its extension ``binary_tensor_data`` has it.
https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, PositiveInt, ValidationError

from ..workflows.system.files import InputError
from .refusals import require_known

TYPES: Final = {
    "UINT8": "<u1", "UINT16": "<u2", "INT16": "<i2", "INT32": "<i4", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Datatypes that are taken, and what numpy calls them."""

LENGTH: Final = "inference-header-content-length"
"""Header with the number of bytes of the JSON text, where binary numbers follow it."""

LONGEST_TEXT: Final = 32 * 2**20
"""Bytes of JSON text; of a number it takes ten times the memory of the number itself."""

Tensors = dict[str, npt.NDArray[Any]]


MOST: Final = 8
"""Inputs, outputs and axes."""

Word = Annotated[str, Field(max_length=200)]
Size = Annotated[PositiveInt, Field(lt=2**40)]
Parameters = Annotated[dict[str, Any], Field(max_length=64)]


class _Tensor(BaseModel):
    name: Word
    shape: Annotated[list[Size], Field(min_length=1, max_length=MOST)]
    datatype: Word
    parameters: Parameters = {}
    data: Any = None


class _Output(BaseModel):
    name: Word
    parameters: Parameters = {}


class _Text(BaseModel):
    id: Word | None = None
    inputs: Annotated[list[_Tensor], Field(max_length=MOST)]
    outputs: Annotated[list[_Output], Field(max_length=MOST)] | None = None
    parameters: Parameters = {}


@dataclass(frozen=True)
class Asked:
    """What a request asks for.

    Attributes:
        id: of the request, which the answer repeats.
        tensors: its inputs, by name; those in binary form stay on the disk until they are used.
        outputs: names of those that are wanted, and whether in binary form; empty where it names none.
        binary: whether outputs that it does not name are in binary form.
    """

    id: str | None
    tensors: Tensors
    outputs: dict[str, bool]
    binary: bool

    def wants(self, name: str, by_itself: bool) -> bool:
        """Return whether an output is wanted; one may be given where none is named."""
        return name in self.outputs or (by_itself and not self.outputs)


TOO_LARGE: Final = "it holds numbers too large for that"


def read_request(path: Path, headers: Mapping[str, str], outputs: tuple[str, ...]) -> Asked:
    """Read the body of a request.

    Args:
        path: file that holds it.
        headers: of the request, with names in lower case.
        outputs: that there are.

    Raises:
        InputError: it is none, its numbers do not fit what it says of them, or it wants what there is not.
        UnknownError: it wants another output.
    """
    size = path.stat().st_size
    length = headers.get(LENGTH, str(size))
    if not (length.isascii() and length.isdecimal()) or len(length) > 15 or int(length) > size:
        raise InputError(
            f"Inference-Header-Content-Length is how many of the {size} bytes are JSON text, got "
            f"{length[:20]!r}."
        )
    if int(length) > LONGEST_TEXT:
        raise InputError(
            f"The JSON text of a request has at most {LONGEST_TEXT / 2**20:g} MiB, but this one has "
            f"{int(length) / 2**20:.0f}; send the numbers in binary form behind it, as tritonclient does."
        )
    with path.open("rb") as stream:
        text = _read_text(stream.read(int(length)))
    wanted = text.outputs or []
    for output in wanted:
        require_known("output", output.name, outputs)
        if "shared_memory_region" in output.parameters:
            raise InputError(f"Shared memory is not used; leave it out for the output {output.name!r}.")
    binary = text.parameters.get("binary_data_output") is True
    return Asked(
        text.id,
        _tensors_of(text, path, int(length)),
        {output.name: output.parameters.get("binary_data", binary) is True for output in wanted},
        binary,
    )


def _read_text(content: bytes) -> _Text:
    try:
        return _Text.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the text"
        raise InputError(
            'A request is JSON such as {"inputs": [{"name": "image", "shape": [1, 240, 240, 155], '
            f'"datatype": "FP32", "data": [...]}}, ...]}}, but {place}: {first["msg"]}.'
        ) from error


def _tensors_of(text: _Text, path: Path, offset: int) -> Tensors:
    """Return the inputs; the binary ones lie behind the text, in their order."""
    found: Tensors = {}
    for tensor in text.inputs:
        if tensor.name in found:
            raise InputError(f"Every input has a name of its own, but {tensor.name!r} comes twice.")
        if tensor.datatype not in TYPES:
            raise InputError(
                f"A datatype is one of {', '.join(TYPES)}, got {tensor.datatype!r} for {tensor.name!r}."
            )
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            found[tensor.name] = _from_text(tensor)
            continue
        found[tensor.name] = _from_file(tensor, size, path, offset)
        offset += size
    if offset != path.stat().st_size:
        raise InputError(
            f"The inputs end where the request ends, but {path.stat().st_size - offset} bytes follow them; "
            "Inference-Header-Content-Length says how long its JSON text is."
        )
    return found


def _from_text(tensor: _Tensor) -> npt.NDArray[Any]:
    if tensor.data is None:
        raise InputError(
            f"The numbers of an input stand in `data`, or behind the text with `binary_data_size`, but "
            f"{tensor.name!r} has neither; shared memory is not used."
        )
    try:
        plain = np.asarray(tensor.data)
        if plain.dtype.kind not in "iuf" or (plain.dtype.kind == "f" and not np.isfinite(plain).all()):
            too_large = plain.dtype.kind == "O" and all(type(one) is int for one in plain.flat)
            raise ValueError(TOO_LARGE if too_large else "it holds what is no number")
        with np.errstate(over="ignore"):
            values = np.asarray(tensor.data, dtype=TYPES[tensor.datatype]).reshape(tensor.shape)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(TOO_LARGE)
        if not np.array_equal(values, plain.reshape(tensor.shape)) and values.dtype.kind != "f":
            raise ValueError("it holds fractions")
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"`data` holds the numbers of its shape {tensor.shape} as {tensor.datatype}, but that of "
            f"{tensor.name!r} does not: {error}."
        ) from error
    return values


def _from_file(tensor: _Tensor, size: Any, path: Path, offset: int) -> npt.NDArray[Any]:
    kind = np.dtype(TYPES[tensor.datatype])
    wanted = prod(tensor.shape) * kind.itemsize
    if type(size) is not int or size != wanted:
        raise InputError(
            f"The shape {tensor.shape} as {tensor.datatype} takes {wanted} bytes, but `binary_data_size` of "
            f"{tensor.name!r} is {size!r}."
        )
    if offset + wanted > path.stat().st_size:
        raise InputError(
            f"{tensor.name!r} has {wanted} bytes behind the text, but {path.stat().st_size - offset} came."
        )
    return np.memmap(path, dtype=kind, mode="r", offset=offset, shape=tuple(tensor.shape))


def write_answer(head: Mapping[str, Any], tensors: Tensors, asked: Asked) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of an answer.

    Args:
        head: what it says beside its outputs.
        tensors: its outputs.
        asked: says which of them are in binary form.
    """
    outputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    names = {kind: name for name, kind in TYPES.items()}
    for name, values in tensors.items():
        kind = values.dtype.newbyteorder("<")
        told = {"name": name, "datatype": names[f"<{kind.str[1:]}"], "shape": list(values.shape)}
        if asked.outputs.get(name, asked.binary):
            behind.append(values.astype(kind, copy=False).tobytes())
            outputs.append({**told, "parameters": {"binary_data_size": len(behind[-1])}})
        else:
            outputs.append({**told, "data": values.reshape(-1).tolist()})
    text = json.dumps({**head, "outputs": outputs}).encode()
    if not behind:
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(text))}
    return b"".join((text, *behind)), headers
