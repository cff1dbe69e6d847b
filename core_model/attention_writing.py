"""Where does each head look as a model writes? At prompt and answer so far, or from the answer at its source.

    [found] = attention_of_writing(WritingPath(predictor, texts, answers))
    found.weights[layer, head]      # from the token that asks to the token that is looked at

A language model reads its prompt and what it wrote as one text, and both look. In an encoder-decoder the tokens of the
answer look at those of the source, by cross-attention; that is what is shown of it.

Source of cross-attention as soft alignment: Bahdanau et al. 2015, arXiv:1409.0473; it is often none (Ferrando and
Costa-jussa 2021, arXiv:2109.05853).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from core_model.attention_maps import AttentionMap, attention_of, no_maps, written_out
from core_model.attribution_writing_path import WritingPath
from core_model.batching import Ragged
from core_model.length_buckets import plan_batches


def attention_of_writing(path: WritingPath) -> list[AttentionMap]:
    """Attention of every layer and head as each answer was written.

    Raises: TaskUnfit for a model that keeps no attention weights.
    """
    if path.predictor.forward.model.config.is_encoder_decoder:
        return _cross_attention(path)
    found = attention_of(path)
    return [replace(one, answer=len(said.ids) - 1) for one, said in zip(found, path.answers, strict=True)]


def _cross_attention(path: WritingPath) -> list[AttentionMap]:
    import torch

    forward, predictor = path.predictor.forward, path.predictor
    reads = Ragged.of([answer.reads.tolist() for answer in path.answers])
    found: list[AttentionMap | None] = [None] * len(path)
    with torch.inference_mode(), written_out(forward.model):
        for rows in plan_batches(path.costs, path.token_budget, padding=forward.can_pad):
            asking = torch.from_numpy(reads.padded(rows, forward.pad)).to(forward.device)
            output = forward.model(
                **forward.batch(path.ids, None, rows), decoder_input_ids=asking, output_attentions=True, use_cache=False
            )
            predictor.forward_passes += len(rows)
            if not output.cross_attentions or output.cross_attentions[0] is None:
                raise no_maps(forward.model)
            layers = torch.stack(list(output.cross_attentions), dim=1).float().cpu().numpy()
            for place, row in enumerate(rows):
                length, written = int(path.lengths[row]), path.answers[row].tokens
                found[row] = AttentionMap(
                    worded=path.worded[row],
                    tokens=tuple(forward.tokenizer.convert_ids_to_tokens(path.ids.row(row).tolist())),
                    of_token=path.of_token[row],
                    weights=layers[place, :, :, : len(written), :length].copy(),
                    reads=np.zeros(length),
                    asks=written,
                )
    return [one for one in found if one is not None]
