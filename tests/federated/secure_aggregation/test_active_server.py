"""A server that sends what it likes: each lie that would open an update is told to honest clients, and refused."""

import hashlib

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.secure_aggregation.crypto.shamir import combine_shares
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt, generate_shared_key
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_separate
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, generate_key_pairs, public_key_to_bytes

from federated.secure_aggregation.errors import RoundUnsafe
from federated.secure_aggregation.exchange import SecureExchange
from federated.secure_aggregation.messages import ADVERTISE, AGREE, MASK, QUERY, RECORD, SHARE, UNMASK
from federated.secure_aggregation.settings import SecureSettings
from tests.federated.secure_aggregation.world import WatchedGrid, client_app, give_keys, stage_of, training_messages

NODES, VICTIM = [1, 2, 3, 4, 5], 3


def consortium(tmp_path=None, *, lie=None, received=None, app=None):
    """A grid of five, with node keys where a folder is given."""
    grid = WatchedGrid(app or client_app(), clients=5, sent=lie, received=received)
    if tmp_path is not None:
        give_keys(grid, tmp_path)
    return grid


def round_of(grid, *, server_round=1, **options):
    return SecureExchange(grid, SecureSettings(**options))(training_messages(NODES, server_round=server_round), 60)


def at(stage, change):
    """A lie that is told in one stage: `change(node, record)`."""

    def lie(message):
        if RECORD in message.content and stage_of(message) == stage:
            change(message.metadata.dst_node_id, message.content[RECORD])
        return message

    return lie


def reasons(caught):
    return " ".join(one.reason for one in caught.value.dropped)


def kept_queries(grid):
    """Every query that the server sent, to be sent again."""
    sent = []

    def keep(message):
        if message.metadata.message_type == QUERY:
            sent.append((message.metadata.dst_node_id, ConfigRecord(dict(message.content[RECORD]))))
        return message

    grid.sent = keep
    return sent


def ask(grid, node, record):
    [reply] = grid.send_and_receive(
        [Message(RecordDict({RECORD: ConfigRecord(dict(record))}), node, QUERY)], timeout=60
    )
    return reply


# Reveals


@pytest.mark.parametrize("signed", [False, True])
def test_second_reveal_in_a_round_is_refused(tmp_path, signed):
    grid = consortium(tmp_path if signed else None)
    sent = kept_queries(grid)
    round_of(grid)
    for node, record in [(node, record) for node, record in sent if record["stage"] == UNMASK]:
        for other in ({}, {"survivors": record["lost"], "lost": record["survivors"]}):
            reply = ask(grid, node, {**record, **other})
            assert reply.has_error() and "in no round" in reply.error.reason


def test_round_that_was_revealed_is_never_summed_again_with_other_survivors():
    grid = consortium()
    round_of(grid, server_round=7)
    for repeated in (7, 6):
        with pytest.raises(RoundUnsafe) as caught:
            round_of(grid, server_round=repeated, minimum_survivors=3)
        assert "revealed its shares in round 7" in reasons(caught)
    assert len(round_of(grid, server_round=8).survivors) == 5


def test_fewer_survivors_than_the_minimum_are_refused_by_the_clients():
    def fewer(node, record):
        record["survivors"], record["lost"] = [node, VICTIM], [one for one in NODES if one not in {node, VICTIM}]

    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(lie=at(UNMASK, fewer)))
    assert "2 survivors among the neighbours, and 4 are needed" in reasons(caught)


def test_lists_must_name_every_neighbour():
    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(lie=at(UNMASK, lambda node, record: record.update({"survivors": [1, 2, 3, 4]}))))
    assert "do not name the neighbours" in reasons(caught)


@pytest.mark.parametrize("minimum", [1, 2])
def test_terms_without_a_majority_are_refused(minimum):
    def weaken(node, record):
        record["terms"] = record["terms"].replace('"minimum":4', f'"minimum":{minimum}')

    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(lie=at(ADVERTISE, weaken)))
    assert "protect nobody" in reasons(caught)


# Order and binding


@pytest.mark.parametrize(("entry", "value"), [("session", "0" * 32), ("round", 2)])
@pytest.mark.parametrize("stage", [SHARE, MASK, UNMASK])
def test_message_of_another_round_or_session_is_refused(stage, entry, value):
    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(lie=at(stage, lambda node, record: record.update({entry: value}))))
    assert "another session or round" in reasons(caught)


@pytest.mark.parametrize("stage", [SHARE, MASK])
def test_no_stage_happens_twice(stage):
    """A second vector under the same masks would tell the difference of two updates."""
    grid = consortium()
    again = []

    def twice(message):
        if message.metadata.message_type == QUERY and stage_of(message) == (MASK if stage == SHARE else UNMASK):
            node, record = next(one for one in sent if one[1]["stage"] == stage)
            sent.remove((node, record))
            again.append(grid.app(Message(RecordDict({RECORD: record}), node, QUERY), grid.contexts[node]))
        return keep(message)

    sent = kept_queries(grid)
    keep, grid.sent = grid.sent, twice
    round_of(grid)
    assert len(again) == 5 and all(
        reply.has_error() and f"{stage} after {stage}" in reply.error.reason for reply in again
    )


# The server in the middle


def swapped(private, victim):
    """Tell the victim, in place of its neighbours' keys, keys whose private halves the server holds."""

    def change(node, record):
        if node != victim:
            return
        for kind in ("mask-publics", "cipher-publics"):
            keys = list(record[kind])
            for place, neighbour in enumerate(record["nodes"]):
                if neighbour != victim:
                    own, public = generate_key_pairs()
                    private[kind, neighbour] = own
                    keys[place] = public_key_to_bytes(public)
            record[kind] = keys

    return change


def test_without_node_keys_a_server_in_the_middle_opens_an_update():
    """What is at stake; the record of such a round says that it does not hold against an active server."""
    private, opened = {}, {}

    def read_shares(reply):
        if reply.has_content() and RECORD in reply.content and "commitment" in reply.content[RECORD]:
            record = reply.content[RECORD]
            if reply.metadata.src_node_id == VICTIM:
                shares = []
                for node, text in zip(record["nodes"], record["ciphertexts"], strict=True):
                    key = generate_shared_key(private["cipher-publics", node], bytes_to_public_key(publics[VICTIM]))
                    shares.append(share_keys_plaintext_separate(decrypt(key, text)))
                opened["seed"] = combine_shares([share[2] for share in shares])
                opened["commitment"] = record["commitment"]
        elif reply.has_content() and RECORD in reply.content and "cipher-public" in reply.content[RECORD]:
            publics[reply.metadata.src_node_id] = reply.content[RECORD]["cipher-public"]
        return reply

    publics: dict[int, bytes] = {}
    grid = consortium(lie=at(SHARE, swapped(private, VICTIM)), received=read_shares)
    with pytest.raises(RoundUnsafe, match="the shares of node 3 cannot be decrypted"):  # too late
        round_of(grid)
    assert hashlib.sha256(opened["seed"]).digest() == opened["commitment"]
    honest = round_of(consortium())
    assert not honest.signed and not honest.adversaries[0].active_server


def test_with_node_keys_an_exchanged_key_is_refused(tmp_path):
    grid = consortium(tmp_path, lie=at(SHARE, swapped({}, VICTIM)))
    total = round_of(grid)
    assert [(one.node, one.stage) for one in total.dropped] == [(VICTIM, SHARE)]
    assert "not signed by a registered node key" in total.dropped[0].reason
    assert total.signed and total.adversaries[0].active_server and VICTIM not in total.survivors


def test_own_key_that_was_exchanged_is_noticed_without_node_keys_too():
    def exchange_own(node, record):
        if node == VICTIM:
            place = record["nodes"].index(VICTIM)
            keys = list(record["mask-publics"])
            keys[place] = public_key_to_bytes(generate_key_pairs()[1])
            record["mask-publics"] = keys

    total = round_of(consortium(lie=at(SHARE, exchange_own)))
    assert "own public keys were exchanged" in total.dropped[0].reason


def test_keys_of_a_node_that_is_not_registered_are_refused(tmp_path):
    grid = consortium(tmp_path)
    roster = tmp_path / "roster.pub"
    others = [line for line in roster.read_text().splitlines() if not line.endswith(f" n{VICTIM}")]
    (tmp_path / "others.pub").write_text("\n".join(others))
    for node in NODES:
        if node != VICTIM:
            grid.contexts[node].node_config["secure-roster"] = str(tmp_path / "others.pub")
    with pytest.raises(RoundUnsafe) as caught:
        round_of(grid)
    assert reasons(caught).count(f"the public keys of node {VICTIM} are not signed by a registered node key") == 4


def test_one_node_key_cannot_stand_for_two_clients(tmp_path):
    grid = consortium(tmp_path)
    grid.contexts[2].node_config["secure-key"] = grid.contexts[1].node_config["secure-key"]
    with pytest.raises(RoundUnsafe) as caught:
        round_of(grid)
    assert "one node key stands for two neighbours" in reasons(caught)


def test_signatures_of_an_earlier_round_do_not_serve_again(tmp_path):
    grid = consortium(tmp_path)
    earlier = {}

    def replay(reply):
        if reply.has_content() and "mask-public" in (record := reply.content.config_records.get(RECORD, {})):
            node = reply.metadata.src_node_id
            if node in earlier:
                record.update({name: earlier[node][name] for name in ("mask-public", "cipher-public", "signature")})
            elif node == VICTIM:
                earlier[node] = ConfigRecord(dict(record))
        return reply

    grid.received = replay
    round_of(grid)
    with pytest.raises(RoundUnsafe) as caught:
        round_of(grid, server_round=2)
    assert f"the public keys of node {VICTIM} are not signed" in reasons(caught)


# Different stories for different clients


def test_clients_that_are_told_different_survivors_reveal_nothing(tmp_path):
    """Half of the clients are told that the victim survived, the others that it was lost."""

    def split(node, record):
        if node in {1, 2}:
            record["survivors"] = [one for one in NODES if one != VICTIM]

    def split_later(message):
        if RECORD in message.content and stage_of(message) == AGREE:
            split(message.metadata.dst_node_id, message.content[RECORD])
        if RECORD in message.content and stage_of(message) == UNMASK and message.metadata.dst_node_id in {1, 2}:
            message.content[RECORD]["survivors"], message.content[RECORD]["lost"] = [1, 2, 4, 5], [VICTIM]
        return message

    grid = consortium(tmp_path, lie=split_later)
    with pytest.raises(RoundUnsafe) as caught:
        round_of(grid, minimum_survivors=4)
    assert "neighbours signed the same list of survivors, and 4 must" in reasons(caught)
    assert not [
        r for r in grid.replies if r.has_content() and "seed-shares" in r.content.config_records.get(RECORD, {})
    ]


def test_survivors_must_be_those_that_were_signed(tmp_path):
    def other(node, record):
        record["survivors"], record["lost"] = [1, 2, 4, 5], [VICTIM]

    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(tmp_path, lie=at(UNMASK, other)))
    assert "not those that this client signed" in reasons(caught)


def test_client_with_a_key_skips_no_agreement(tmp_path):
    """A server that takes the signatures off, as if nobody had keys, gets no shares."""

    def unsigned(reply):
        if reply.has_content() and "mask-public" in (record := reply.content.config_records.get(RECORD, {})):
            record["signature"] = b""
        return reply

    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(tmp_path, received=unsigned))
    assert "not signed by a registered node key" in reasons(caught)


def test_node_with_keys_trains_for_no_round_in_clear(tmp_path):
    grid = consortium(tmp_path)
    replies = list(grid.send_and_receive(training_messages(NODES), timeout=60))
    assert all(reply.has_error() and "train in clear" in reply.error.reason for reply in replies)


def test_signatures_can_be_demanded():
    with pytest.raises(RoundUnsafe) as caught:
        round_of(consortium(), require_signatures=True)
    assert "not signed" in reasons(caught)


def test_node_answers_for_no_fewer_survivors_than_it_is_configured_to(tmp_path):
    """Otherwise a server could ask one client together with others that tell it what they know."""
    grid = consortium(tmp_path)
    for node in NODES:
        grid.contexts[node].node_config["secure-minimum"] = 4
    assert len(round_of(grid, minimum_survivors=4).survivors) == 5
    with pytest.raises(RoundUnsafe) as caught:
        round_of(grid, server_round=2, minimum_survivors=3)
    assert "may hold 3 clients, and this node answers for 4 or more" in reasons(caught)


def test_node_with_keys_lets_no_server_draw_its_neighbours(tmp_path):
    grid = consortium(tmp_path)
    with pytest.raises(RoundUnsafe) as caught:
        round_of(grid, neighbours=2)
    assert "could surround this node" in reasons(caught)
    assert len(round_of(grid, neighbours=2, require_signatures=True).survivors) == 5
