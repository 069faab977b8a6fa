"""What a run in half precision would yield, as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GradientError", "OutputError", "PlaceError", "PrecisionResult"]


@dataclass(frozen=True, slots=True)
class OutputError:
    """One output of both models in the half precision.

    Attributes:
        first_name, second_name: the output in each model.
        first_error, second_error: the largest absolute error against float64.
        difference: the largest absolute difference between both sides.
        scale: the largest absolute value of the truth.
        band: the largest difference between two real runs that rounding may explain.
        size: how many numbers it has.
        observed: the largest difference between the two runs that the user saved; None where none
            was saved of this output.
    """

    first_name: str
    second_name: str
    first_error: float
    second_error: float
    difference: float
    scale: float
    band: float
    size: int = 0
    observed: float | None = None

    @property
    def beyond(self) -> bool:
        """Whether the saved runs are further apart than rounding may explain."""
        return self.observed is not None and not self.observed <= self.band


@dataclass(frozen=True, slots=True)
class PlaceError:
    """How far off each side is at one operation, root of the mean square, relative."""

    first_path: str
    second_path: str
    op: str
    first_error: float
    second_error: float


@dataclass(frozen=True, slots=True)
class GradientError:
    """The gradient of one parameter in half precision, of the loss where there is one, else under
    random cotangents.

    Attributes:
        first_name, second_name: the parameter in each model; several of the second's joined by +.
        first_error, second_error: the largest absolute error against float64.
        difference: the largest absolute difference between both sides.
        scale: the largest absolute value of the second's truth.
        band: the largest difference between two real runs that rounding may explain.
    """

    first_name: str
    second_name: str
    first_error: float
    second_error: float
    difference: float
    scale: float
    band: float


@dataclass(frozen=True, slots=True)
class PrecisionResult:
    """Both models in half precision.

    Attributes:
        precision: "bfloat16" or "float16".
        outputs: of every pair of outputs.
        places: at every matched operation, in the order of the data.
        gradients: of every parameter that both models train; empty where gradients were not looked
            at.
        closest: the paths of the one change of a cast that brings both sides nearest, with the
            difference of the outputs before and after, root of the mean square; None where none
            brings them nearer.
        observed: the largest difference that the user saw between two runs; None where none was
            given.
        loss: what the user's losses come to; None where there are none.
        assumed: what the numbers rest on.
    """

    precision: str
    outputs: tuple[OutputError, ...] = ()
    places: tuple[PlaceError, ...] = ()
    gradients: tuple[GradientError, ...] = ()
    closest: tuple[str, str, float, float] | None = None
    observed: float | None = None
    loss: OutputError | None = None
    assumed: str = (
        "an operation computes inside in float32, as GPU kernels do, and its result is rounded once"
    )

    @property
    def band(self) -> float:
        """The largest band of an output."""
        return max((output.band for output in self.outputs), default=0.0)

    @property
    def drift(self) -> bool | None:
        """Whether rounding may explain what was observed; None where nothing was, or no band is
        known."""
        if self.observed is None or not self.outputs:
            return None
        saved = [output for output in self.outputs if output.observed is not None]
        if saved:
            return not any(output.beyond for output in saved)
        return self.observed <= self.band
