"""Where a departure of training is told: at a module, or at the loop."""

from padiff_graph.training.stages.band import Band
from padiff_graph.training.stages.departure import StageGap, departure_finding

NAMES = ("embed.weight", "head.weight")
BAND = Band({}, {(1, "gradients", name): 1.0 for name in NAMES})


def place(errors: tuple[float, float], proved: bool = True) -> str:
    gaps = [
        StageGap(1, "gradients", name, (name,), error)
        for name, error in zip(NAMES, errors, strict=True)
    ]
    beyond = next(gap for gap in gaps if gap.error > 1e-3)
    frameworks = ("paddle", "torch")
    return departure_finding(beyond, gaps, BAND, proved, frameworks).paddle_path


def test_where_all_gradients_depart_and_all_regions_agree_the_loop_is_told():
    assert place((0.1, 0.2)) == ""


def test_where_one_gradient_departs_its_module_is_told():
    assert place((0.0, 0.2)) == "head"


def test_where_regions_were_not_shown_to_agree_no_loop_is_blamed():
    assert place((0.1, 0.2), proved=False) == "embed"
