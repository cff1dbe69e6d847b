"""Attributions on trial: the copy with random weights, infidelity and sensitivity.

An explanation that stays the same when the weights are randomized explains the text, not the model (Adebayo et al.
2018, arXiv:1810.03292). One that does not foretell what removing words does is unfaithful; one that jumps when the
input hardly moves is unstable (Yeh et al. 2019, arXiv:1901.09392).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np

from core_model.attribution import EVEN_STEPS, Attribution, integrated_gradients
from core_model.attribution_path import EmbeddingPath

if TYPE_CHECKING:
    from core_model.prediction import Predictor

_BLOCK = re.compile(r"((?:encoder\.|decoder\.)?\w+\.\d+)\.")  # a module in a list: layer.3, h.11, decoder.block.0


def randomized(
    predictor: Predictor, random: np.random.Generator, *, parameters: Collection[str] | None = None
) -> Predictor:
    """The same predictor over a copy of the model in which the entries of every weight tensor were shuffled.

    Shuffled, not drawn anew: each tensor keeps its scale, so that the copy is a working network that learned nothing.
    The copy costs the model's memory once more. Source: Adebayo et al. 2018, arXiv:1810.03292.

    Args:
        parameters: names of those that are shuffled; None: all of them.
    """
    import torch

    from core_model.prediction import Predictor

    twin = Predictor.like(predictor)
    forward = copy.copy(predictor.forward)
    forward.model = copy.deepcopy(predictor.forward.model)
    forward.short = forward.model
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    with torch.no_grad():
        for name, parameter in forward.model.named_parameters():
            if parameters is not None and name not in parameters:
                continue
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))
    twin.forward = forward
    return twin


def layers_from_the_top(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Parameters by layer, in the order of the cascading randomization: the head, the blocks from the last, embeddings.

    Args:
        names: of the model's parameters, in the order of the computation.
    Returns: (what it is called, names of its parameters); a block is named by its list and number, "layer.5".
    """
    groups: dict[str, list[str]] = {}
    seen_block = False
    for name in names:
        block = _BLOCK.search(name)
        seen_block = seen_block or block is not None
        groups.setdefault(block.group(1) if block else "head" if seen_block else "embeddings", []).append(name)
    order = [name for name in groups if name not in ("head", "embeddings")]
    return [(name, groups[name]) for name in ["head", *reversed(order), "embeddings"] if name in groups]


def cascade(stages: Sequence[tuple[str, list[str]]], most: int) -> list[tuple[str, set[str]]]:
    """What is random after each stage, from the top: at most so many stages, evenly apart, the last one always.

    Source: Adebayo et al. 2018, arXiv:1810.03292, section 3.1.
    """
    last = len(stages) - 1
    chosen = {last} if most == 1 else set(np.linspace(0, last, min(most, last + 1)).round().astype(int).tolist())
    found, gone = [], set[str]()
    for place, (name, parameters) in enumerate(stages):
        gone = gone | set(parameters)
        if place in chosen:
            found.append((name, gone))
    return found


def infidelity(
    path: EmbeddingPath,
    attributions: Sequence[Attribution],
    *,
    perturbations: int,
    random: np.random.Generator,
) -> np.ndarray:
    """How far scores miss what taking words to the baseline does: the mean square over random sets of words, (rows,).

    Each perturbation takes half of the words (at least one), drawn at random, to the baseline. 0 is exact; unit: score
    squared.

    Source: Yeh et al. 2019, arXiv:1901.09392, equation 1, with the perturbation x - x0 on a random subset.
    """
    rows, shares, foretold = [], [], []
    for row, (one, child) in enumerate(zip(attributions, random.spawn(len(attributions)), strict=True)):
        words = len(one.worded)
        for _ in range(perturbations):
            gone = np.zeros(words + 1, dtype=bool)  # the last place stands for tokens of no word, which stay
            gone[child.permutation(words)[: max(1, words // 2)]] = True
            rows.append(row)
            shares.append(1.0 - gone[path.of_token[row]])
            foretold.append(one.scores[gone[:-1]].sum())
    targets = np.array([one.target for one in attributions])
    found, _ = path.ask(np.array(rows), shares, targets[rows], gradients=False)
    before = np.array([one.score for one in attributions])[rows]
    return infidelity_of(np.array(foretold), before - found).reshape(len(attributions), perturbations).mean(axis=1)


def infidelity_of(foretold: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Square of (sum of the scores of what was perturbed, minus what the output lost); averaged over perturbations."""
    return (np.asarray(foretold) - np.asarray(moved)) ** 2


def max_sensitivity(
    path: EmbeddingPath,
    attributions: Sequence[Attribution],
    *,
    radius: float,
    perturbations: int,
    random: np.random.Generator,
    steps: int = EVEN_STEPS,
) -> np.ndarray:
    """Largest relative change of integrated gradients near each text, (rows,); 0 is stable, 1 is as large as itself.

    Args:
        attributions: integrated gradients of the same texts.
        radius: of uniform noise on every embedding of a word's token, as a share of the embeddings' root mean square.
        perturbations: noisy copies of each text.
        steps: nodes for the noisy copies, and for the text itself, so that the number of steps is no difference.
    Source: Yeh et al. 2019, arXiv:1901.09392, definition 2, estimated by sampling; divided by the attribution's norm.
    """
    rows = np.arange(len(path))
    targets = np.array([one.target for one in attributions])
    copies = np.repeat(rows, perturbations + 1)
    noise = []
    for row, child in zip(rows, random.spawn(len(rows)), strict=True):
        embeddings = path.embeddings(int(row))
        size = radius * float(np.sqrt(np.mean(np.square(embeddings))))
        moves = (path.of_token[row] >= 0)[:, None]
        noise.append(np.zeros_like(embeddings))  # the text itself
        drawn = child.uniform(-size, size, (perturbations, *embeddings.shape)) * moves
        noise.extend(drawn.astype(np.float32))
    found = integrated_gradients(path.select(copies), targets[copies], even_steps=steps, noise=noise)
    changes = np.zeros(len(rows))
    for row in rows:
        first, *others = (one.scores for one in found[row * (perturbations + 1) : (row + 1) * (perturbations + 1)])
        changes[row] = max_sensitivity_of(first, np.stack(others))
    return changes


def max_sensitivity_of(scores: np.ndarray, near: np.ndarray) -> float:
    """max ||near - scores|| / ||scores|| over the perturbations, (perturbations, words)."""
    size = float(np.linalg.norm(scores))
    return float(np.linalg.norm(near - scores, axis=1).max() / size) if size > 0 else 0.0
