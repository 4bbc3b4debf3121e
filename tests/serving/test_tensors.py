from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gliomaseg.serving import tensors
from gliomaseg.serving.refusals import UnknownError
from gliomaseg.serving.tensors import LENGTH, TYPES, Asked, read_request, write_answer
from gliomaseg.workflows.system.files import InputError

OUTPUTS = ("mask", "probability")


def asked(folder: Path, text: Any, behind: bytes = b"", length: str | None = None) -> Asked:
    content = text if isinstance(text, bytes) else json.dumps(text).encode()
    (folder / "sent").write_bytes(content + behind)
    headers = {LENGTH: str(len(content)) if length is None else length} if behind or length else {}
    return read_request(folder / "sent", headers, OUTPUTS)


def tensor(**other: Any) -> dict[str, Any]:
    return {"name": "a", "shape": [2, 3], "datatype": "INT16", "data": [1, 2, 3, 4, 5, -6], **other}


@pytest.mark.parametrize("datatype", TYPES)
def test_numbers_come_in_the_text_or_behind_it(tmp_path: Path, datatype: str) -> None:
    values = np.arange(6).reshape(2, 3).astype(TYPES[datatype])
    other = np.arange(3, dtype=TYPES["FP32"]) / 7
    plain = {"name": "a", "shape": [2, 3], "datatype": datatype}
    for data in (values.tolist(), values.ravel().tolist()):
        found = asked(tmp_path, {"inputs": [{**plain, "data": data}]}).tensors["a"]
        assert np.array_equal(found, values)
        assert found.dtype == values.dtype
    behind = [
        {**plain, "parameters": {"binary_data_size": values.nbytes}},
        tensor(name="between"),
        {"name": "b", "shape": [3], "datatype": "FP32", "parameters": {"binary_data_size": 12}},
    ]
    found = asked(tmp_path, {"inputs": behind}, values.tobytes() + other.tobytes()).tensors
    assert list(found) == ["a", "between", "b"]
    assert np.array_equal(found["a"], values)
    assert np.array_equal(found["b"], other)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "A request is JSON such as"),
        ({}, "but inputs: Field required."),
        ({"inputs": [tensor(shape=[2, 0])]}, "but inputs.0.shape.1: Input should be greater than 0."),
        ({"inputs": [tensor(datatype="BF16")]}, "one of UINT8, UINT16, INT16, INT32, FP32, FP64, got 'BF16'"),
        ({"inputs": [tensor(), tensor()]}, "Every input has a name of its own, but 'a' comes twice."),
        ({"inputs": [tensor(data=None)]}, "but 'a' has neither; shared memory is not used."),
        ({"inputs": [tensor(data=[1, 2])]}, "of its shape [2, 3] as INT16, but that of 'a' does not: cannot"),
        ({"inputs": [tensor(data=["1"] * 6)]}, "but that of 'a' does not: it holds what is no number."),
        ({"inputs": [tensor(data=[None] * 6)]}, "but that of 'a' does not: it holds what is no number."),
        ({"inputs": [tensor(data=[True] * 6)]}, "but that of 'a' does not: it holds what is no number."),
        ({"inputs": [tensor(data=[float("nan")] * 6)]}, "does not: it holds what is no number."),
        (
            {"inputs": [tensor(data=[1 << 70] * 6)]},
            "that of 'a' does not: it holds numbers too large for that.",
        ),
        ({"inputs": [tensor(datatype="FP32", data=[1e300] * 6)]}, "does not: it holds numbers too large for"),
        ({"inputs": [tensor(data=[1.5] * 6)]}, "but that of 'a' does not: it holds fractions."),
        ({"inputs": [tensor(data=[70000] * 6)]}, "but that of 'a' does not: Python integer 70000"),
        ({"inputs": [tensor(shape=[1] * 70)]}, "but inputs.0.shape: List should have at most 8 items"),
        ({"inputs": [0] * 100_000}, "but inputs"),
        ({"inputs": [tensor(name="a" * 10_000)]}, "but inputs.0.name: String should have at most 200"),
        (
            {
                "inputs": [tensor()],
                "outputs": [{"name": "mask", "parameters": {"shared_memory_region": "x"}}],
            },
            "Shared memory is not used; leave it out for the output 'mask'.",
        ),
    ],
)
def test_a_text_that_is_none_is_refused(tmp_path: Path, text: Any, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        asked(tmp_path, text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("size", "behind", "words"),
    [
        (12, bytes(11), "'a' has 12 bytes behind the text, but 11 came."),
        (12, bytes(13), "but 1 bytes follow them; Inference-Header-Content-Length says how long"),
        (11, bytes(11), "The shape [2, 3] as INT16 takes 12 bytes, but `binary_data_size` of 'a' is 11."),
        ("12", bytes(12), "but `binary_data_size` of 'a' is '12'."),
        (12.0, bytes(12), "but `binary_data_size` of 'a' is 12.0."),
        (-12, bytes(12), "but `binary_data_size` of 'a' is -12."),
    ],
)
def test_bytes_that_do_not_fit_are_refused(tmp_path: Path, size: Any, behind: bytes, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        asked(tmp_path, {"inputs": [tensor(parameters={"binary_data_size": size})]}, behind)


@pytest.mark.parametrize("length", ["x", "-1", "99999", "9" * 17])
def test_a_length_that_is_none_is_refused(tmp_path: Path, length: str) -> None:
    with pytest.raises(InputError, match=f"bytes are JSON text, got '{length}'"):
        asked(tmp_path, {"inputs": [tensor()]}, length=length)


def test_long_texts_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "LONGEST_TEXT", 2**20)
    with pytest.raises(InputError, match="has at most 1 MiB, but this one has 2; send the numbers in binary"):
        asked(tmp_path, b" " * 2 * 2**20)


def test_outputs_are_named_or_come_by_themselves(tmp_path: Path) -> None:
    nothing = asked(tmp_path, {"inputs": [tensor()]})
    assert (nothing.wants("mask", by_itself=True), nothing.wants("probability", by_itself=False)) == (
        True,
        False,
    )
    named = {"name": "probability", "parameters": {"binary_data": True}}
    one = asked(tmp_path, {"inputs": [tensor()], "outputs": [named]})
    assert (one.wants("mask", by_itself=True), one.outputs) == (False, {"probability": True})
    all_binary = {"inputs": [tensor()], "outputs": [{"name": "mask"}]}
    parameters = {"binary_data_output": True}
    assert asked(tmp_path, {**all_binary, "parameters": parameters}).outputs == {"mask": True}
    with pytest.raises(UnknownError, match=r"There is no output 'x'; there are mask, probability\."):
        asked(tmp_path, {"inputs": [tensor()], "outputs": [{"name": "x"}]})


def test_an_answer_has_its_numbers_in_the_order_of_its_shape(tmp_path: Path) -> None:
    mask = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    big = np.arange(3, dtype=">f4")
    wish = Asked(None, {}, {"probability": True}, binary=False)
    body, headers = write_answer({"id": "7"}, {"mask": mask, "probability": big}, wish)
    length = int(headers["Inference-Header-Content-Length"])
    assert json.loads(body[:length]) == {
        "id": "7",
        "outputs": [
            {"name": "mask", "datatype": "UINT8", "shape": [2, 3], "data": [0, 1, 2, 3, 4, 5]},
            {"name": "probability", "datatype": "FP32", "shape": [3], "parameters": {"binary_data_size": 12}},
        ],
    }
    assert np.array_equal(np.frombuffer(body[length:], "<f4"), [0, 1, 2])
