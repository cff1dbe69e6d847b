"""The server's view of a federation: what the updates that left each client tell of its rows and of its words.

A run with `--keep-updates` leaves what its server saw. The rows are divided among the clients anew, as the record says
they were; then every candidate row is held against single updates, against their sum, which is all that a server sees
under secure aggregation, and against the step of the model, which everybody sees. Candidates are rows of some clients,
drawn by lot, and held-out rows. The attacks are `federated.update_attacks`; numbers with intervals are made in
`server_view_lines`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from audit.concerns.privacy.rows import Trial
from audit.concerns.privacy.server_words import Words, words_of
from core_model.errors import BadInput, CheckpointDamaged

if TYPE_CHECKING:
    from audit.subject import Subject
    from core_model.checkpoint import Checkpoint
    from core_model.data import Table
    from federated.arrays import Update
    from federated.kept_updates import KeptRound
    from federated.options import FederationOptions
    from federated.record import FederatedRecord
    from federated.update_attacks import TokenScores
    from federated.workbench import Workbench

ALIGNMENT, ATTRIBUTION, LOSS_DROP = "alignment", "attribution", "loss drop"
ATTACKS = (ALIGNMENT, ATTRIBUTION, LOSS_DROP)
UPDATE, SUM, STEP = "one update", "the sum", "the step"
HELD_OUT = -1  # in the place of a client's number


@dataclass(frozen=True)
class Effort:
    """How much is attacked: clients whose single updates are looked at, rows of each, and rounds."""

    clients: int
    rows: int
    rounds: int


@dataclass(frozen=True)
class Sight:
    """What one thing that the server saw says; all rounds that were looked at, added up.

    Attributes:
        scores: by attack, (candidates,), higher for "was in".
        tokens: how far each token's embedding moved; None where the embedding does not travel.
    """

    scores: Mapping[str, np.ndarray]
    tokens: TokenScores | None


@dataclass(frozen=True)
class ServerView:
    """What the attacks on a federation's updates found.

    Attributes:
        options: of the federation.
        trouble: why nothing was attacked; the rest is empty then.
        secure: whether the server saw sums alone.
        rounds: that were looked at.
        names: of the clients whose rows are candidates, by number.
        owner: (candidates,) whose row it is; HELD_OUT for one that nobody has.
        others: by client, (candidates,) bool: the held-out rows that are of the client's kind.
        single: by client, what its own updates say; empty where `secure`.
        together: by SUM and, where the server adds noise, STEP.
        words: what the clients wrote and what was guessed of it.
        forward_passes: rows that went through the model, gradients included.
    """

    options: FederationOptions
    trouble: str | None = None
    secure: bool = False
    rounds: tuple[int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    owner: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    others: Mapping[int, np.ndarray] = field(default_factory=dict)
    single: Mapping[int, Sight] = field(default_factory=dict)
    together: Mapping[str, Sight] = field(default_factory=dict)
    words: Words | None = None
    forward_passes: int = 0

    @property
    def promised(self) -> str | None:
        """What the promise covers, of what was seen: UPDATE, SUM or STEP; None without a promise."""
        promise = self.options.private
        if promise is None:
            return None
        return SUM if self.options.secure else UPDATE if promise.unit == "example" else STEP


def server_view(subject: Subject, trial: Trial, effort: Effort, *, random: np.random.Generator) -> ServerView | None:
    """Attack what a federation's server saw; None where the checkpoint was not made by a federation.

    Raises: CheckpointDamaged when the record's options are none that this version knows.
    """
    record = subject.federated_record if subject.checkpoint.path is not None else None
    if record is None:
        return None
    from federated.options import FederationOptions

    try:
        options = FederationOptions.model_validate(record.options)
    except ValidationError as error:
        raise CheckpointDamaged(
            f"federated_record.json: its options cannot be read ({error.errors()[0]['msg']})",
            mend="the record as the federation wrote it, or audit with the version that made it",
        ) from error
    try:
        return _attacked(subject, record, options, trial, effort, random)
    except _Unmeasured as why:
        return ServerView(options, str(why), secure=options.secure)
    except BadInput as trouble:
        return ServerView(options, trouble.found, secure=options.secure)


class _Unmeasured(Exception):
    """Why the server's view cannot be measured here."""


def _attacked(
    subject: Subject, record: FederatedRecord, options: FederationOptions, trial: Trial, effort: Effort,
    random: np.random.Generator,
) -> ServerView:  # fmt: skip
    from federated.kept_updates import SUPPLY, kept_rounds, read_round

    path, training = subject.checkpoint.path, subject.training
    assert path is not None and training is not None  # noqa: S101 - the callers looked
    numbers = kept_rounds(path)
    if not numbers or not effort.clients:
        raise _Unmeasured(f"the updates that the server saw were not kept; {SUPPLY}" if not numbers else
                          "no client was to be attacked (privacy.server_view_clients)")  # fmt: skip
    if record.data is None:
        raise _Unmeasured("the rows stayed with the clients: nobody here can say whose they are")
    if record.data.get("sha256") != training.sha256:
        raise _Unmeasured("the file that was given as training data is not the one that was divided among the clients")
    if trial.overlapping.any():
        raise _Unmeasured("rows of the data stand in the training data, too: see members_overlap")
    said = [entry.get("kept") or {} for entry in record.rounds]
    chosen = [
        read_round(path, number, expected=said[number - 1] if number <= len(said) else None)
        for number in _some_rounds(numbers, effort.rounds)
    ]
    rows = _rows_of_clients(subject, options)
    there = sorted({client for kept in chosen for client in (kept.survivors if kept.is_secure else kept.clients)})
    if not there:
        raise _Unmeasured("no client's update was believed in the rounds that were kept")
    secure = any(kept.is_secure for kept in chosen)
    clients = there if secure else sorted(random.permutation(there)[: effort.clients].tolist())
    return _Scene(subject, record, options, trial, rows, clients, effort, random, secure=secure).watched(chosen)


def _some_rounds(numbers: Sequence[int], count: int) -> list[int]:
    """So many of the rounds, the first and the last among them."""
    places = np.unique(np.linspace(0, len(numbers) - 1, min(count, len(numbers))).round().astype(int))
    return [numbers[place] for place in places]


def _rows_of_clients(subject: Subject, options: FederationOptions) -> Mapping[int, tuple[str, np.ndarray]]:
    """Name and training rows of each client: the partition, cut anew.

    Raises: BadInput where these rows cannot be divided so.
    """
    from federated.partition import partition, split_held_out

    training = subject.training
    assert training is not None  # noqa: S101 - training data is declared
    if options.column is not None and options.column not in training.groups:
        raise _Unmeasured(
            f"the rows were divided by the column {options.column!r}, which was not read; --group-column "
            f"{shlex.quote(options.column)}"
        )
    parts = partition(training, options)
    return {
        client: (name, split_held_out(rows, options.held_out, seed=options.seed, client=client)[0])
        for client, (name, rows) in enumerate(zip(parts.names, parts.rows, strict=True))
    }


class _Scene:
    """Model and candidates, prepared once for all rounds.

    Args:
        rows: name and training rows of each client. clients: those that are attacked.
    Attributes:
        bench: whose rows are those of the clients that are attacked, and held-out rows behind them.
        candidates: (candidates,) rows of the bench. owner: (candidates,).
        others: by client, (candidates,) bool: held-out rows of its kind. Against rows of another kind an attack would
            find what a client's rows are about, and not that they were trained on.
    """

    def __init__(
        self, subject: Subject, record: FederatedRecord, options: FederationOptions, trial: Trial,
        rows: Mapping[int, tuple[str, np.ndarray]], clients: Sequence[int], effort: Effort, random: np.random.Generator,
        *, secure: bool,
    ) -> None:  # fmt: skip
        from privacy.attacks.reference_models import joined

        training = subject.training
        assert training is not None  # noqa: S101 - training data is declared
        self.options, self.subject, self.secure = options, subject, secure
        self.names = {client: rows[client][0] for client in clients}
        own = np.concatenate([rows[client][1] for client in clients])
        of_row = np.concatenate([np.full(len(rows[client][1]), client) for client in clients])
        likes = _likes(trial.others, training, options, {client: rows[client] for client in clients}, random)
        pools = [np.arange(trial.others.rows)] if secure else list(likes.values())
        others = np.unique(np.concatenate([_drawn(pool, effort.rows, random) for pool in pools]))
        self.bench = _bench(subject, record, options, joined(training.select(own), trial.others.select(others)))
        self.of_row = np.concatenate([of_row, np.full(len(others), HELD_OUT)])
        known = np.flatnonzero(_has_examples(self.bench, len(self.of_row)))
        # Under secure aggregation nobody is looked at alone: as many rows are drawn from all clients together.
        groups = [known[self.of_row[known] == client] for client in clients]
        groups = [np.concatenate(groups)] if secure else groups
        drawn = [_drawn(group, effort.rows, random) for group in groups]
        self.candidates = np.sort(np.concatenate([*drawn, known[self.of_row[known] == HELD_OUT]]))
        self.owner = self.of_row[self.candidates]
        place = np.where(self.owner == HELD_OUT, self.candidates - len(own), 0)  # among `others`
        self.others = {
            client: (self.owner == HELD_OUT) & np.isin(others[place], like) for client, like in likes.items()
        }

    def watched(self, rounds: Sequence[KeptRound]) -> ServerView:
        """Every round's updates, held against the candidates."""
        promise = self.options.private
        adds_noise = promise is not None and promise.unit == "client" and not self.secure
        found: dict[Any, list[Sight]] = {}
        for kept in rounds:
            start = kept.start()
            updates: dict[Any, Update] = {}
            if not self.secure:
                updates |= {client: kept.update(client) for client in self.names if client in kept.clients}
            updates[SUM] = self._mean(kept)
            if adds_noise and (step := self._step(kept, start)) is not None:
                updates[STEP] = step
            for name, sight in self._sights(start, updates).items():
                found.setdefault(name, []).append(sight)
        added = {name: _added(sights) for name, sights in found.items()}
        return ServerView(
            self.options,
            secure=self.secure,
            rounds=tuple(kept.round for kept in rounds),
            names=self.names,
            owner=self.owner,
            others=self.others,
            single={name: sight for name, sight in added.items() if isinstance(name, int)},
            together={name: added[name] for name in (SUM, STEP) if name in added},
            words=words_of(self.bench, self.subject.task, self.of_row),
            forward_passes=len(self.candidates) * (len(rounds) + sum(map(len, found.values()))),
        )

    def _sights(self, start: Update, updates: Mapping[Any, Update]) -> dict[Any, Sight]:
        from federated.update_attacks import common_decay, embedding_name, scores_of_each, token_scores

        each = scores_of_each(self.bench, start, list(updates.values()), self.candidates)
        embedding = embedding_name(self.bench.task.model)
        sights = {}
        for (name, update), scores in zip(updates.items(), each, strict=True):
            tokens = None
            if embedding is not None and embedding in update:
                decay = common_decay(update, start, name=embedding)
                tokens = token_scores(update, start, name=embedding, decay=decay)
            by_attack = {
                ALIGNMENT: scores.alignment, ATTRIBUTION: scores.attribution, LOSS_DROP: scores.loss_drop,
            }  # fmt: skip
            sights[name] = Sight(by_attack, tokens)
        return sights

    def _mean(self, kept: KeptRound) -> Update:
        """What the sum of a round comes to, by what it is divided by."""
        if kept.is_secure:
            return {name: (array / kept.weight).astype(np.float32) for name, array in kept.total().items()}
        equal = self.options.private is not None and self.options.private.unit == "client"
        weights = {client: 1.0 if equal else float(rows) for client, rows in kept.examples.items()}
        total: dict[str, np.ndarray] = {}
        for client, weight in weights.items():
            for name, array in kept.update(client).items():
                total[name] = total.get(name, 0.0) + weight * array.astype(np.float64)
        return {name: (array / sum(weights.values())).astype(np.float32) for name, array in total.items()}

    def _step(self, kept: KeptRound, start: Update) -> Update | None:
        """What everybody saw of a round: the next model less this one; None where the next one was not kept."""
        from federated.arrays import subtract
        from federated.kept_updates import kept_rounds, read_round

        path = self.subject.checkpoint.path
        if path is not None and kept.round + 1 in kept_rounds(path):
            return subtract(read_round(path, kept.round + 1).start(), start)
        final = self.bench.initial  # of the checkpoint on trial, unless adapters were merged into it
        return None if self.options.adapters else subtract({name: final[name] for name in start}, start)


def _bench(subject: Subject, record: FederatedRecord, options: FederationOptions, pool: Any) -> Workbench:
    """The clients' model with the pool's rows in tokens.

    Raises: _Unmeasured where adapters need the base that they were made for; BadInput of a task's `prepare`.
    """
    from federated.run_settings import RunSettings
    from federated.workbench import Workbench

    base: Checkpoint | None = subject.checkpoint
    if options.personalize is not None:
        raise _Unmeasured("each client keeps a head of its own, without which no row has a loss")
    if options.adapters is not None:
        base = subject.reference
        if base is None or base.sha256 != record.base["sha256"]:
            raise _Unmeasured(
                "the updates are of adapters, and belong to the base that they were made for; --reference BASE "
                f"(sha256 {str(record.base['sha256'])[:12]}...)"
            )
    settings = RunSettings(federation=options, base=str(base.path if base is not None else ""))
    assert base is not None  # noqa: S101 - looked at above
    return Workbench(settings, base=base, table=pool, evaluation=None, placeholders=0)


def _likes(
    held_out: Table, training: Table, options: FederationOptions, rows: Mapping[int, tuple[str, np.ndarray]],
    random: np.random.Generator,
) -> dict[int, np.ndarray]:  # fmt: skip
    """Held-out rows of each client's kind: of its value where a column divided the rows, with its labels else.

    Args:
        rows: name and training rows of each client.
    Returns: by client, places in `held_out`.
    """
    everything = np.arange(held_out.rows)
    if options.column is not None:
        values = np.asarray(held_out.groups[options.column]).astype(str)
        return {client: everything[values == str(name)] for client, (name, _) in rows.items()}
    if options.alpha is None or not (training.has_labels and held_out.has_labels):
        return dict.fromkeys(rows, everything)
    return {client: _with_shares(held_out.targets, training.targets[own], random) for client, (_, own) in rows.items()}


def _with_shares(targets: np.ndarray, wanted: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As many places as there can be among whose targets each class has the share that it has in `wanted`."""
    classes, counts = np.unique(wanted, return_counts=True)
    places = {label: random.permutation(np.flatnonzero(targets == label)) for label in classes}
    most = min(len(places[label]) / count for label, count in zip(classes, counts, strict=True))
    return np.sort(np.concatenate([places[label][: int(most * n)] for label, n in zip(classes, counts, strict=True)]))


def _has_examples(bench: Workbench, rows: int) -> np.ndarray:
    """(rows,) bool: whether the task made anything of a row that could be learnt from."""
    origins = getattr(bench.task.training, "origins", None)
    return np.ones(rows, bool) if origins is None else np.isin(np.arange(rows), origins)


def _drawn(rows: np.ndarray, most: int, random: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= most else np.sort(random.permutation(rows)[:most])


def _added(sights: Sequence[Sight]) -> Sight:
    """Scores and moves of several rounds, added up."""
    from federated.update_attacks import TokenScores

    scores = {attack: np.sum([sight.scores[attack] for sight in sights], axis=0) for attack in ATTACKS}
    tokens = [sight.tokens for sight in sights if sight.tokens is not None]
    if not tokens:
        return Sight(scores, None)
    moved, seen = np.sum([each.moved for each in tokens], axis=0), np.any([each.seen for each in tokens], axis=0)
    return Sight(scores, TokenScores(moved, seen))
