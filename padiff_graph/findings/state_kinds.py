"""Kinds of causes about what a run leaves behind: attributes, buffers, parameters, inputs."""

from __future__ import annotations

from padiff_graph.findings.kind import kind_of

__all__ = ["STATE"]

STATE = (
    kind_of(
        "state.attribute",
        "a forward leaves another value in an attribute of corresponding modules",
        first_name="block.calls",
        second_name="block.calls",
        first_value=2,
        second_value=3,
    ),
    kind_of(
        "state.mode",
        "a forward leaves a module in another mode than its counterpart is in",
        first_name="the model",
        second_name="the model",
        first_setting="training",
        second_setting="evaluation",
    ),
    kind_of(
        "state.second_call",
        "outputs or buffers agree in the first call and differ in a later one, with other weights",
        first_name="output",
        second_name="output",
        error=0.12,
    ),
    kind_of(
        "state.call_raises",
        "one model raises in a later call, where the other answers",
        side=0,
        call=3,
        raised="IndexError: the cache is full",
    ),
    kind_of(
        "state.parameter_written",
        "a forward writes a parameter on one side",
        side=0,
        parameter="fc.weight",
    ),
    kind_of(
        "state.input_written",
        "a forward writes into the caller's tensor on one side",
        side=0,
        name="x",
    ),
    kind_of(
        "state.container",
        "a forward changes a list or dict that it is handed, on one side or otherwise",
        side=0,
        name="past",
    ),
    kind_of(
        "buffer.written",
        "a forward writes another value into a buffer, read or not",
        first_name="seen",
        second_name="seen",
    ),
    kind_of(
        "buffer.written_again",
        "one model's backward writes a buffer once more, as recomputation does",
        side=1,
        parameter="bn.running_mean",
    ),
)
"""What the runs left behind."""
