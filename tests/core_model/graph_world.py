"""A graph written by hand, whose logits numpy can say: a text's word vectors added up, through one matrix."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HIDDEN, SEED = 32, 7
WORDS_TABLE, HEAD = "bert.embeddings.word_embeddings.weight", "head"


def tables(rows: int, wide: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, HIDDEN) vectors of words and the (HIDDEN, wide) matrix that reads their sum."""
    random = np.random.default_rng(SEED)
    return tuple(random.normal(size=shape).astype(np.float32) for shape in ((rows, HIDDEN), (HIDDEN, wide)))  # type: ignore[return-value]


def write_graph_folder(
    folder: Path,
    checkpoint: Path,
    *,
    wide: int = 2,
    said: int | str | None = None,
    operator: tuple[str, str] = ("MatMul", ""),
    tokens: int | str = "tokens",
    inputs: Sequence[str] = ("input_ids", "attention_mask"),
    output: str = "logits",
    external: str | None = None,
) -> Path:
    """The graph as model.onnx, beside configuration and tokenizer of a checkpoint.

    Args:
        wide: logits of a row; said: how many the graph says, or a name where it does not say.
        operator: the last one and its domain. tokens: how many it takes, or a name: any.
        external: where the words' vectors lie, as the graph says; the file is not written.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from core_model.checkpoint_files import read_json

    folder.mkdir(parents=True)
    for path in checkpoint.iterdir():
        if path.suffix in (".json", ".txt"):
            shutil.copyfile(path, folder / path.name)
    words, head = tables(read_json(checkpoint / "config.json")["vocab_size"], wide)
    table = numpy_helper.from_array(words, WORDS_TABLE)
    if external is not None:
        table = external_tensor(table, external)
    name, domain = operator
    graph = helper.make_graph(
        [
            helper.make_node("Gather", [WORDS_TABLE, "input_ids"], ["vectors"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
            helper.make_node("Mul", ["vectors", "wide_mask"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "one"], ["sum"], keepdims=0),
            helper.make_node(name, ["sum", HEAD], [output], domain=domain),
        ],
        "by hand",
        [helper.make_tensor_value_info(put, TensorProto.INT64, ["rows", tokens]) for put in inputs],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["rows", wide if said is None else said])],
        [
            table,
            numpy_helper.from_array(head, HEAD),
            numpy_helper.from_array(np.array([2], np.int64), "last"),
            numpy_helper.from_array(np.array([1], np.int64), "one"),
        ],
    )
    domains = [helper.make_opsetid("", 20), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=10), str(folder / "model.onnx"))
    return folder


def external_tensor(tensor: Any, location: str) -> Any:
    """The same tensor with its bytes in a file, by name alone."""
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    tensor.data_location = tensor.EXTERNAL
    tensor.ClearField("raw_data")
    return tensor
