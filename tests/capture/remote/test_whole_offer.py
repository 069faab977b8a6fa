"""A side that lives elsewhere offers what the protocols ask of a backend, nothing less."""

from __future__ import annotations

from padiff_graph.capture.abilities import Optimizers
from padiff_graph.capture.remote import backend, service


def test_every_function_of_optimizers_can_be_asked() -> None:
    asked = {name for name in vars(Optimizers) if not name.startswith("_")}
    assert asked == {*backend.IN_OPTIMIZERS, *backend.CONTEXTS, "bare", "is_optimizer"}
    contexts = {name.partition(".")[2] for name in service.CONTEXTS if "optimizers." in name}
    assert asked == service.OPTIMIZERS | contexts | {"saved"}  # which answers with a function
