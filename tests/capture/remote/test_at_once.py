"""Both sides at once: what comes back, which error is told, and who may run in a thread."""

import socket
import threading
import time

import pytest

from padiff_graph.capture.remote.at_once import at_once
from padiff_graph.capture.remote.channel import Channel
from padiff_graph.capture.remote.client import Client


@pytest.fixture
def clients():
    pairs = [socket.socketpair() for _ in range(2)]
    made = [Client(Channel(ours), f"side {number}") for number, (ours, _) in enumerate(pairs)]
    yield made
    for client, (_, theirs) in zip(made, pairs, strict=True):
        client.close()
        theirs.close()


def _where():
    return threading.current_thread() is threading.main_thread()


def test_two_sides_elsewhere_run_at_the_same_time(clients):
    met = threading.Barrier(2, timeout=20)
    arrived = at_once(met.wait, met.wait, clients)
    assert sorted(arrived) == [0, 1]


@pytest.mark.parametrize("here", [0, 1])
def test_what_lives_here_runs_in_the_thread_that_calls(clients, here):
    sides = list(clients)
    sides[here] = None
    ran = at_once(_where, _where, sides)
    assert ran[here] and not ran[1 - here]


def test_two_models_of_one_process_go_one_after_the_other(clients):
    for sides in ((None, None), (clients[0], clients[0])):
        assert at_once(_where, _where, sides) == (True, True)


def test_the_first_sides_error_goes_before_the_seconds_and_both_have_ended(clients):
    ended = []

    def fails(number, seconds):
        time.sleep(seconds)
        ended.append(number)
        raise ValueError(f"side {number}")

    with pytest.raises(ValueError, match="side 0"):
        at_once(lambda: fails(0, 0.2), lambda: fails(1, 0.0), clients)
    assert sorted(ended) == [0, 1]


def test_an_interrupt_waits_for_no_answer(clients):
    def interrupted():
        time.sleep(0.2)
        raise KeyboardInterrupt

    sides = [None, clients[1]]
    with pytest.raises(KeyboardInterrupt):
        at_once(interrupted, lambda: clients[1].ask("nothing"), sides)
