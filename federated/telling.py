"""A round in one line, for people who wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from federated.rounds import RoundTold

UNITS = ("B", "kB", "MB", "GB", "TB")


def line(told: RoundTold) -> str:
    """Round, loss, participants, bytes, epsilon, evaluation, time left."""
    parts = [f"round {told.round:,} of {told.rounds:,}"]
    if told.loss is not None:
        parts.append(f"loss {told.loss:.4f}")
    if told.asked is not None and told.counted is not None:
        parts.append(f"{told.counted:,} of {told.asked:,} clients")
    else:
        parts.append("clients not told")
    if told.bytes_down is not None and told.bytes_up is not None:
        parts.append(f"{as_bytes(told.bytes_down)} down, {as_bytes(told.bytes_up)} up")
    if told.epsilon is not None:
        parts.append(f"epsilon {told.epsilon:.3g} spent")
    for what, measured in (("evaluation", told.evaluation), ("on clients", told.clients_evaluation)):
        if measured is not None:
            loss, accuracy = measured.get("loss"), measured.get("accuracy")
            numbers = [f"loss {loss:.4f}"] if loss is not None else []
            numbers += [f"accuracy {accuracy:.4f}"] if accuracy is not None else []
            parts.append(f"{what} {' '.join(numbers)}")
    parts.append(f"{duration(told.seconds_left)} left")
    return ", ".join(parts)


def as_bytes(count: float) -> str:
    """With a decimal unit: 1,500,000 is 1.5 MB."""
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} {UNITS[-1]}"


def duration(seconds: float) -> str:
    """Hours, minutes and seconds as people say them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
