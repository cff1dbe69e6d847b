"""The round shell: who is asked, what is believed, what becomes of it, and what is set down before the next round.

Flower's strategies make the messages and the mean; this shell stands around them because Flower's own loop cannot be
resumed, believes every reply, and does not know a budget. One round, in this order:

    choose participants -> strategy.configure_train -> exchange -> screen -> strategy.aggregate_train
    -> evaluate -> set the state down -> tell

A server that is killed at any moment goes on at the last round that was set down, and ends with the same bits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core_model.interrupt import StopRequest
from federated.arrays import Update, add, norm, to_record
from federated.client_evaluations import read_evaluations, shortened, summary
from federated.evaluation import evaluate_server
from federated.exchange import Asked, Exchanged, exchange_plainly
from federated.kept_updates import begin_keeping, write_round
from federated.ledger import NAME as LEDGER
from federated.options import FederationOptions, LocalOptions
from federated.promised import promise_of
from federated.roster import ClientsGone, Member, Roster
from federated.secure_exchange import Attempts, exchange_securely, fewest_survivors
from federated.state import FederationState, Progressed
from federated.strategies import aggregate, build_strategy, restore_strategy, strategy_arrays
from federated.traffic import RoundGrid

if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.serverapp import Grid

    from core_model.training_meter import Meter
    from federated.workbench import Workbench

REJECTIONS_SHOWN = 3
METER_SECONDS = 60.0  # between readings of the energy meter, which is too slow for every round


@dataclass(frozen=True)
class RoundTold:
    """What is told of a round that is done; a None was not measured.

    Attributes:
        round, rounds: which one, and how many there are.
        loss: mean training loss of the clients that count.
        asked, counted: clients; these and the bytes are None where a promise rests on nobody's knowing.
        epsilon: spent so far.
        evaluation: of the global model, on the server's rows.
        clients_evaluation: mean over the clients' held-out rows.
        seconds_left: until the last round is done.
    """

    round: int
    rounds: int
    loss: float | None
    asked: int | None
    counted: int | None
    bytes_down: int | None
    bytes_up: int | None
    epsilon: float | None
    evaluation: dict[str, Any] | None
    clients_evaluation: dict[str, Any] | None
    seconds_left: float


Tell = Callable[[RoundTold], None]


class Rounds:
    """All rounds of a run, or those that are left.

    Args:
        identity: what makes this run this run, set down with its states.
        stop: asked between rounds, and by grids between clients.
    Attributes:
        model: the shared parameters after the last round that was done.
    """

    def __init__(
        self,
        options: FederationOptions,
        bench: Workbench,
        roster: Roster,
        grid: Grid,
        *,
        state: FederationState,
        identity: dict[str, Any],
        meter: Meter,
        progressed: Progressed,
        model: Update,
        kept: dict[str, np.ndarray],
        tell: Tell,
        stop: StopRequest,
    ) -> None:
        self.options, self.bench, self.roster, self.grid = options, bench, roster, grid
        self.state, self.identity, self.meter, self.tell, self.stop = state, identity, meter, tell, stop
        self.progressed, self.model = progressed, model
        self.out = state.folder.parent
        begin_keeping(self.out, progressed.round)
        self.attempts = Attempts(state.folder)
        shares = fewest_survivors(options) if options.secure else None
        self.promise = promise_of(options, ledger=state.folder / LEDGER, shares=shares)
        self.promise.begin(progressed.round, progressed.notes.get("promise", {}))
        self.strategy = build_strategy(options)
        restore_strategy(self.strategy, kept)
        self.began, self.seconds_before, self.metered_at = time.monotonic(), progressed.seconds, time.monotonic()
        self.done_here = 0

    def run(self) -> None:
        """Every round that is left.

        Raises: ClientsGone when a round has fewer sound answers than it needs; KeyboardInterrupt after Ctrl-C. The
            last round that was done is set down, in both cases.
        """
        while self.progressed.round < self.options.rounds:
            if self.stop.asked:
                raise KeyboardInterrupt
            self._round(self.progressed.round + 1)

    def _round(self, number: int) -> None:
        begun = time.monotonic()
        here = self.roster.refresh()
        members = self.promise.choose(number, here, list(self.roster.members.values()))
        self.promise.pay(members)
        there = {member.node for member in here}
        view = RoundGrid(self.grid, [member.node for member in members if member.node in there])
        local = self.promise.local(local_options(self.options, number))
        exchanged = self._exchange(view, number, members, local)
        self._require_enough(number, members, exchanged)
        kept = (
            {"kept": write_round(self.out, number, start=self.model, seen=exchanged.seen)}
            if self.options.keep_updates
            else {}
        )
        step = aggregate(self.strategy, number, exchanged.replies)
        self.model = add(self.model, step)
        # With personal heads the global model answers with the head that it began with: nothing to measure there.
        evaluation = None if self.options.personalize else evaluate_server(self.bench, self.model)
        on_clients = self._evaluate_clients(view, local)
        epsilon = self.promise.epsilon()
        self.progressed.round = number
        for entry in self.progressed.rounds[-1:]:
            entry["clients_evaluation"] = shortened(entry["clients_evaluation"])
        self.progressed.rounds.append(
            {
                "round": number,
                **self._participants(members, exchanged, view),
                "train_loss": exchanged.loss,
                "update_norm": norm(step),
                "epsilon": epsilon,
                "evaluation": evaluation,
                "clients_evaluation": on_clients,
                "seconds": time.monotonic() - begun,
                **exchanged.details,
                **kept,
            }
        )
        self._set_down()
        self._tell(members, exchanged, view, epsilon, evaluation, on_clients)

    def _exchange(self, view: RoundGrid, number: int, members: Sequence[Member], local: LocalOptions) -> Exchanged:
        record, config = to_record(self.model), self._config(local)
        attempt = self.attempts.next() if self.options.secure else number
        # A coin may have chosen nobody; a strategy would wait for a node to ask.
        messages = list(self.strategy.configure_train(attempt, record, config, view)) if view.nodes else []
        deployed = self.bench.settings.data is None
        asked = Asked(number, members, messages, local, self.model, deployed)
        exchange = exchange_securely if self.options.secure else exchange_plainly
        return exchange(view, asked, self.options, self.promise)

    def _config(self, local: LocalOptions) -> Any:
        from flwr.app import ConfigRecord

        return ConfigRecord({**self.roster.config, "local": local.to_text()})

    def _require_enough(self, number: int, members: Sequence[Member], exchanged: Exchanged) -> None:
        """Raises: ClientsGone."""
        need, have = self.options.min_clients, len(exchanged.counted)
        if have >= need or self.promise.hides_participants:
            return
        shown = "; ".join(f"{r.name}: {r.why}" for r in exchanged.rejected[:REJECTIONS_SHOWN])
        more = len(exchanged.rejected) - REJECTIONS_SHOWN
        kept = f"the model of round {number - 1} is kept" if number > 1 else "nothing was learnt yet"
        raise ClientsGone(
            f"round {number}: {have} of {len(members)} clients gave a sound answer, {need} are needed (--min-clients); "
            f"{kept}. {shown or 'nobody was there to be asked'}" + (f"; and {more} more" if more > 0 else ""),
            mend="--resume when the clients are well again, or a smaller --min-clients",
        )

    def _participants(self, members: Sequence[Member], exchanged: Exchanged, view: RoundGrid) -> dict[str, Any]:
        """For the record, unless a promise rests on nobody's knowing: bytes would tell how many there were."""
        if self.promise.hides_participants:
            return dict.fromkeys(("asked", "counted", "rejected", "bytes_down", "bytes_up"))
        return {
            "asked": [member.number for member in members],
            "counted": exchanged.counted,
            "rejected": [rejection.as_dict() for rejection in exchanged.rejected],
            "bytes_down": view.bytes_down,
            "bytes_up": view.bytes_up,
        }

    def _evaluate_clients(self, view: RoundGrid, local: LocalOptions) -> dict[str, Any] | None:
        """Each client that is there, on the rows that it holds out; None where none does."""
        if not self.options.held_out:
            return None
        members = {member.node: member for member in self.roster.refresh()}
        view.nodes = list(members)
        messages: list[Message] = list(
            self.strategy.configure_evaluate(local.round, to_record(self.model), self._config(local), view)
        )
        return summary(read_evaluations(view.send_and_receive(messages, timeout=self.options.deadline), members))

    def _set_down(self) -> None:
        self.progressed.seconds = self.seconds
        self.progressed.notes["promise"] = self.promise.notes()
        if time.monotonic() - self.metered_at > METER_SECONDS:
            self.progressed.energy, self.metered_at = self.meter.take(), time.monotonic()
        self.state.save(self.progressed, self.identity, self.model, strategy_arrays(self.strategy))
        self.done_here += 1

    @property
    def seconds(self) -> float:
        """Wall time of all sessions up to now."""
        return self.seconds_before + time.monotonic() - self.began

    def _tell(
        self,
        members: Sequence[Member],
        exchanged: Exchanged,
        view: RoundGrid,
        epsilon: float | None,
        evaluation: dict[str, Any] | None,
        on_clients: dict[str, Any] | None,
    ) -> None:
        left, hidden = self.options.rounds - self.progressed.round, self.promise.hides_participants
        self.tell(
            RoundTold(
                round=self.progressed.round,
                rounds=self.options.rounds,
                loss=exchanged.loss,
                asked=None if hidden else len(members),
                counted=None if hidden else len(exchanged.counted),
                bytes_down=None if hidden else view.bytes_down,
                bytes_up=None if hidden else view.bytes_up,
                epsilon=epsilon,
                evaluation=evaluation,
                clients_evaluation=on_clients,
                seconds_left=left * (time.monotonic() - self.began) / self.done_here,
            )
        )


def local_options(options: FederationOptions, server_round: int) -> LocalOptions:
    """What every client is asked for in a round."""
    return LocalOptions(
        round=server_round,
        epochs=options.local_epochs or (None if options.local_steps else 1),
        steps=options.local_steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        optimizer=options.optimizer,
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
        proximal_mu=options.proximal_mu if options.strategy == "fedprox" else 0.0,
        compression=options.compress,
        secure=options.secure,
        personalize=options.personalize,
        seed=options.seed,
    )
