"""What is said of differences in structure: attributes, sizes, operations, operands."""

from __future__ import annotations

from collections.abc import Mapping

STRUCTURE: Mapping[str, tuple[str, ...]] = {
    "attribute": (
        "{op}.{name} {first_value} against {second_value} ({convention})",
        "{op}.{name} {first_value} against {second_value}",
    ),
    "size": ("{op}.{name} {first_value} against {second_value}",),
    "size.shape": (
        "{first_parameter} {first_value} against {second_parameter} {second_value}",
        "{op}.{name} {first_value} against {second_value}",
    ),
    "size.depth": ("{first_count} blocks in {path} against {second_count}",),
    "operation.missing": (
        (
            "missing {operation}: without {left_out} in {path} of the {side} side, which hands on"
            " {deed}, both sides agree"
        ),
        "missing {operation}: without {left_out} in {path} of the {side} side, both sides agree",
        (
            "missing {operation}: {turning} in {path} of the {side} side turns a value that keeps"
            " its shape"
        ),
        "missing {operation}: {alone} in {path} stands on the {side} side only",
        "missing {operation} of {value} in the {first} model",
        "missing {operations} in the {first} model: an operand of {reader}",
        "missing {operations} in the {first} model",
    ),
    "operation.extra": (
        (
            "extra {operation}: without {left_out} in {path} of the {side} side, which hands on"
            " {deed}, both sides agree"
        ),
        "extra {operation}: without {left_out} in {path} of the {side} side, both sides agree",
        (
            "extra {operation}: {turning} in {path} of the {side} side turns a value that keeps its"
            " shape"
        ),
        "extra {operation}: {alone} in {path} stands on the {side} side only",
        "extra {operation} of {value} in the {first} model",
        "extra {operations} in the {first} model: an operand of {reader}",
        "extra {operations} in the {first} model",
    ),
    "operation.replaced": ("{first_op} against {second_op}",),
    "operations.exchanged": ("{ops}: computed in another order",),
    "operand.missing": ("missing {operand} of {op} in the {first} model",),
    "operand.extra": ("extra {operand} of {op} in the {first} model",),
    "operand.count": ("{op} of {first_count} operands against {second_count}",),
    "operand.transposed": (
        "{op} reads its operand transposed: batch and time are exchanged ({settings})",
        "{op} reads its operand transposed",
    ),
    "operand.reordered": (
        "{op} reads its operand in another order: through {first_ways} against {second_ways}",
    ),
    "operands.exchanged": (
        "{op} takes its parts in another order: {first_order} against {second_order}",
    ),
    "operands.rewired": (
        "{ops} reads {first_op} ({first_from}) against {second_op} ({second_from})",
    ),
    "operands.shifted": (
        (
            "operand {late_place} of {op} in the {first} model is operand {second_place} in the"
            " {second} model: it takes the state of an earlier step"
        ),
        (
            "operand {early_place} of {op} in the {first} model is operand {second_place} in the"
            " {second} model: it takes the state of a later step"
        ),
    ),
    "axis": ("{op} goes over another axis",),
    "mask.inverted": ("mask of {op} with the other sign: it hides what the other shows",),
    "mask.other": (
        "the constant mask {shape} that {op} reads is {first_mask} against {second_mask}",
    ),
    "scale": (
        "{product} of operands scaled by {first_value} against {second_value}",
        "operand of {reader} scaled by {first_value} against {second_value}",
        "{value} scaled by {first_value} against {second_value}",
    ),
    "shift": (
        "operand of {reader} shifted by {first_value} against {second_value}",
        "{value} shifted by {first_value} against {second_value}",
    ),
    "construction.operator": ("{first_op} against {second_op} between the same values",),
    "construction.operations": ("{first_operations} against {second_operations}",),
    "operand.inverted": (
        ("a mask is read with the other sign: once {tensor} is inverted (Not), both sides agree"),
    ),
    "operand.broadcast": (
        (
            "{tensor} is broadcast along another axis (keepdim): laid out as {tried} on the {side}"
            " side in place of {shape}, both sides agree"
        ),
    ),
    "draws.shape": (
        (
            "{first_op} draws random numbers {first_shape} and {second_op} {second_shape}: for"
            " whole channels or samples on one side, for single elements on the other"
        ),
    ),
    "operand.parts": (
        "parts of {op} in another order ({source}): in reverse order both sides agree",
        "parts of {op} in another order: in reverse order both sides agree",
    ),
    "setting.differs": (
        (
            "{name} {first_value} against {second_value}: with {name}={tried} in {op} of the"
            " {side} side, both sides agree"
        ),
    ),
    "embedding.padding": (
        (
            "embedding with padding_idx={row}: the {side} side yields zeros there, and the other"
            " side what its row {row} holds, which is not zero"
        ),
    ),
    "parameter.shared": (
        (
            "{parameter} is one shared parameter of the {side} model, read in {modules}, where the"
            " {other} model has {others}"
        ),
    ),
}
"""Differences that both graphs show."""
