"""Against whom each part of a secure round holds: for the record, part by part, and with the reason.

Three adversaries: a server that keeps to the protocol and looks (honest-but-curious), one that sends what it likes
(active), and clients that tell the server what they know (colluding).
"""

from __future__ import annotations

from typing import NamedTuple

from federated.secure_aggregation.graph import chance_of_exposure
from federated.secure_aggregation.settings import Terms


class Holds(NamedTuple):
    """What one part holds against.

    Attributes:
        honest_server, active_server: whether it does, for a server without clients on its side; None: no server's
            doing.
        colluding: most clients on the honest-but-curious server's side; None: not a question of their number.
        colluding_active: most clients on an active server's side; None: it does not hold against such a server.
    """

    part: str
    honest_server: bool | None
    active_server: bool | None
    colluding: int | None
    colluding_active: int | None
    because: str


def adversaries(terms: Terms, *, shares: int, signed: bool, announced: bool, survivors: int) -> tuple[Holds, ...]:
    """The parts of one round.

    Args:
        shares: of each secret. signed: keys and lists were signed by registered node keys.
        announced: clients announced powers of two. survivors: clients in the sum.
    """
    threshold = terms.threshold(shares)
    # Two survivors that are honest are the least that hide each other in the sum.
    passive = max(0, min(threshold - 1, survivors - 2))
    active = max(0, min(2 * threshold - shares - 1, survivors - 2)) if signed and terms.complete else None
    known = (
        "each client checks its neighbours' keys against its own roster, and a majority must sign one list of survivors"
        if signed
        else "without node keys the server could exchange the clients' keys for its own"
    )
    if not terms.complete:
        third = chance_of_exposure(terms.cohort, shares, threshold, terms.cohort // 3)
        known += (
            "; the server draws the neighbours, so an active one may surround a client; if it draws at random, a third "
            f"of the clients expose some client with a chance of at most {third:.1e}"
        )
    return (
        Holds("single updates, example counts and metrics", True, active is not None, passive, active, known),
        Holds(
            "announced powers of two", not announced, not announced, None, None,
            "each client's largest value and number of examples are told in clear, rounded up to a power of two"
            if announced
            else "range and weights were fixed beforehand; nothing is announced",
        ),
        Holds(
            "the sum", False, False, None, None,
            f"the server learns the sum of {survivors} clients: what it tells about one of them only differential "
            "privacy bounds",
        ),
        Holds(
            "a poisoned update", None, None, 0, None,
            "a client may send any values within the range, and the server cannot look at them",
        ),
    )  # fmt: skip
