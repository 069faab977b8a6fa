"""The benchmark of training faults: planted into published pairs with their usual losses.

    python benchmarks/trainingbugs.py                       the whole table (long)
    python benchmarks/trainingbugs.py --pairs nlp_llama --faults epsilon,momentum
    python benchmarks/trainingbugs.py --healthy             false alarms alone

A fault is a knob of the port's training recipe that stands otherwise than the reference's
(`training_faults.py`). Only a fault that changes weights, or their average, counts: both recipes
are first run on two copies of the port. Then `compare` is asked. Scored: detected (not passed, with
a failing finding), the right stage and step of the first one, both values named, and for a loss
whether what differs in it is named. Healthy runs take ten steps. Each pair has a process of its
own; `benchmarks/pairs/setup.sh` makes the environment.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "pairs"), str(HERE)]

HEALTHY_STEPS = 10
TOLERANCE = {"rtol": 1e-3, "atol": 1e-5, "allow_rounding": True}
CHANGED = 1e-6
"""Share of its largest weight by which a fault must move some parameter."""
NEAR = 5e-3
"""Relative difference of a number in a sentence from the one that it should name."""
MARKS = ("detected", "stage", "values", "named", "alarm", "passed")
STAGES = {
    "loss": "loss",
    "attribute": "loss",
    "operation": "loss",
    "optimizer.gradient_clipping": "clipped",
    "optimizer.gradients_after_a_step": "gradients",
    "optimizer.gradient": "gradients",
    "optimizer.learning_rate": "schedule update",
    "optimizer.schedule": "schedule",
    "optimizer.owner": "update gradients",
    "optimizer.accumulation": "accumulated",
    "optimizer.loss_factor": "loss",
    "optimizer.unscaling_of_gradients": "unscaled",
    "optimizer.average_of_weights": "averages",
    "parameter.frozen": "gradients",
    "optimizer": "update",
}
"""Stages that a kind of cause speaks of; a cause with a stage of its own says it."""


def batches(example: Mapping[str, Any], count: int, size: int) -> list[dict[str, Any]]:
    """Batches of a pair's kind of input, the first axis being the batch's."""
    import numpy as np

    made = []
    for number in range(count):
        random = np.random.default_rng(number)
        made.append({name: _like(value, size, random) for name, value in example.items()})
    return made


def _like(value: Any, size: int, random: Any) -> Any:
    import numpy as np

    array = value.numpy()
    shape = (size, *array.shape[1:])
    if array.dtype.kind == "f":
        return random.standard_normal(shape).astype(array.dtype)
    return random.choice(np.unique(array), shape).astype(array.dtype)


def sides(kind: str) -> tuple[Any, Any]:
    """The recipes of the port and the reference."""
    from dataclasses import replace

    import training_faults as faults
    from training_recipes import Recipe

    if kind in faults.HEALTHY:
        recipe = replace(Recipe(), **faults.HEALTHY[kind])
        return recipe, recipe
    fault = faults.FAULTS[kind]
    recipe = replace(Recipe(), **fault.both)
    return replace(recipe, **fault.first), recipe


class Trained:
    """A published pair, built and captured once; every case begins at the same weights."""

    def __init__(self, pair: str) -> None:
        import numpy as np
        import paddle
        import pairs
        import torch
        import training_losses as losses

        import padiff_graph as pg

        self.subject = losses.SUBJECTS[pair]
        torch.manual_seed(0)
        paddle.seed(0)
        with paddle.utils.unique_name.guard():
            self.layer, self.module, (ours, theirs) = pairs.PAIRS[pair].fn()
        self.layer.train()
        self.module.train()
        self.theirs = batches(theirs, HEALTHY_STEPS, losses.BATCH)
        names = dict(zip(theirs, ours, strict=True))
        self.ours = [{names[name]: array for name, array in batch.items()} for batch in self.theirs]
        random = np.random.default_rng(11)
        self.labels = [self.subject.labels(random, batch) for batch in self.theirs]
        pg.assign_weight(self.layer, self.module, example_inp=(self.ours[0], self.theirs[0]))
        self.start = (
            {name: value.clone() for name, value in self.layer.state_dict().items()},
            {name: value.clone() for name, value in self.module.state_dict().items()},
        )
        self.flags = [
            (parameter, parameter.stop_gradient, dict(parameter.optimize_attr))
            for parameter in self.layer.parameters()
        ]
        self.kept: Any = None

    def restored(self) -> None:
        """Both models as they were built, without gradients; decays that the port gives single
        parameters are left out, since the reference has none (PaddleOCR's heads have them)."""
        self.layer.set_state_dict(self.start[0])
        self.module.load_state_dict(self.start[1])
        for parameter, stopped, attributes in self.flags:
            parameter.stop_gradient = stopped
            parameter.regularizer = None
            parameter.optimize_attr = dict(attributes)
            parameter.clear_gradient(False)
        for parameter in self.module.parameters():
            parameter.requires_grad_(True)
            parameter.grad = None

    def compared(self, example: Any, frozen: bool, **asked: Any) -> Any:
        """The report of one case.

        Args:
            frozen: whether the recipes freeze parameters: the models are captured anew then.
        """
        from padiff_graph.check.kept_captures import Kept, compare_keeping

        arguments = {"layer": self.layer, "module": self.module, "example_inp": example}
        before = Kept() if frozen or self.kept is None else self.kept
        report, left = compare_keeping(
            arguments | {"steps": len(example), "options": TOLERANCE} | asked, before
        )
        if not frozen:
            self.kept = left
        return report


class Case:
    """One pair, one kind of fault."""

    def __init__(self, trained: Trained, kind: str) -> None:
        self.subject, self.kind = trained.subject, kind
        self.layer, self.module = trained.layer, trained.module
        self.ours, self.theirs, self.labels = trained.ours, trained.theirs, trained.labels
        trained.restored()

    def loss(self, framework: str, recipe: Any) -> Any:
        """Of an output, and the labels of the batch that it belongs to."""
        made, labels = self.subject.loss[framework], self.labels

        def loss(output: Any, number: int, part: int, count: int) -> Any:
            answers = labels[number % len(labels)]
            size = len(answers) // count
            return made(recipe, output, answers[part * size : (part + 1) * size])

        return loss

    def port(self, recipe: Any) -> Any:
        """The port's training."""
        from training_recipes import paddle_side

        return paddle_side(self.layer, recipe, self.loss("paddle", recipe))

    def reference(self, recipe: Any) -> Any:
        """The reference's training."""
        from training_recipes import torch_side

        return torch_side(self.module, recipe, self.loss("torch", recipe))

    def trained(self, recipe: Any, steps: int) -> dict[str, Any]:
        """The port's weights and their average after a training with nobody looking."""
        import paddle

        side = self.port(recipe)
        for number in range(steps):
            batch = {name: paddle.to_tensor(array) for name, array in self.ours[number].items()}
            if recipe.route == "loop":
                side.stepper(self.layer, batch)
                continue
            side.loss(self.layer(**batch)).backward()
            if recipe.route == "callable":
                side.stepper()
            else:
                side.stepper.step()
                side.stepper.clear_grad()
        held = {name: value.numpy() for name, value in self.layer.named_parameters()}
        if side.average is not None:
            held |= {f"average {n}": v.numpy() for n, v in side.average.named_parameters()}
        return held


def changed(first: Mapping[str, Any], second: Mapping[str, Any]) -> float:
    """The largest change of a weight, against its parameter's largest."""
    import numpy as np

    sizes = [
        float(np.abs(first[name] - second[name]).max(initial=0.0))
        / max(float(np.abs(second[name]).max(initial=0.0)), 1e-6)
        for name in first.keys() & second.keys()
    ]
    return max(sizes)


def effect(trained: Trained, kind: str, steps: int) -> float:
    """By how much a fault changes the port's weights."""
    held = []
    for recipe in sides(kind):
        if recipe.maximize or recipe.dampening:
            return float("inf")  # the port's framework has no such setting
        held.append(Case(trained, kind).trained(recipe, steps))
    return changed(*held)


def judged(trained: Trained, kind: str) -> dict[str, Any]:
    """Plants one fault and asks for the verdict."""
    import training_faults as faults

    fault = faults.FAULTS.get(kind)
    steps = HEALTHY_STEPS if fault is None else fault.steps
    size = float("inf")
    if fault is not None and fault.verdict == "different":
        size = effect(trained, kind, steps)
        if size <= CHANGED:
            return {"status": "no effect", "change": size}
    case = Case(trained, kind)
    first, second = sides(kind)
    example = list(zip(case.ours, case.theirs, strict=True))[:steps]
    ours, theirs = case.port(first), case.reference(second)
    asked: dict[str, Any] = {"loss_fn": [ours.loss, theirs.loss]}
    asked["train_step" if second.route == "loop" else "optimizer"] = [ours.stepper, theirs.stepper]
    start = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        report = trained.compared(example, first.stopped or second.stopped, **asked)
    seconds = round(time.process_time() - start, 1)
    told = [finding for finding in report.findings if finding.verdict != "rounding"]
    answer: dict[str, Any] = {
        "status": "ran",
        "passed": report.passed,
        "seconds": seconds,
        "change": size,
        "findings": [(f.phase, f.verdict, f.cause_id, f.cause[:300]) for f in told[:5]],
        "notes": list(report.notes)[-3:],
    }
    if fault is None:
        return answer | {"alarm": any(f.fails for f in told)}
    return answer | scored(fault, report, told)


def scored(fault: Any, report: Any, told: Sequence[Any]) -> dict[str, Any]:
    """What of the right answer was said."""
    if fault.verdict != "different":
        right = [finding for finding in told if finding.verdict == fault.verdict]
        alarm = any(finding.fails for finding in told)
        return {"detected": bool(right) and not alarm, "stage": bool(right), "values": bool(right)}
    failing = [finding for finding in told if finding.fails]
    if not failing:
        return {"detected": False, "stage": False, "values": False, "named": False}
    first = failing[0]
    stage = bool(set(fault.stage.split()) & set(stage_of(first).split()))
    step = step_of(first) == fault.step
    sentences = " ; ".join(finding.cause for finding in failing)
    return {
        "detected": not report.passed,
        "stage": stage and step,
        "values": names_all(first.cause, fault.values),
        "named": any(word.lower() in sentences.lower() for word in fault.words),
        "said": (stage_of(first), step_of(first)),
    }


def stage_of(finding: Any) -> str:
    """The stage that a finding speaks of."""
    stage = finding.reason.get("stage")
    if stage is not None:
        return str(stage)
    if finding.phase == "loss":
        return "loss"
    kinds = [kind for kind in STAGES if finding.cause_id.startswith(kind)]
    return STAGES[max(kinds, key=len)] if kinds else finding.cause_id


def step_of(finding: Any) -> int:
    """The step that a finding speaks of."""
    return int(finding.reason.get("step") or 1)


def names_all(sentence: str, values: Sequence[object]) -> bool:
    """Whether every value is in a sentence."""
    numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*(?:e[-+]?\d+)?", sentence)]
    for value in values:
        if isinstance(value, str):
            if value not in sentence:
                return False
        elif not any(abs(number - float(value)) <= NEAR * abs(float(value)) for number in numbers):  # type: ignore[arg-type]
            return False
    return True


def fits(pair: str, kind: str) -> bool:
    """Whether a fault belongs to a pair's family of losses."""
    import training_faults as faults
    import training_losses as losses

    return kind in faults.HEALTHY or (losses.SUBJECTS[pair].family in faults.FAULTS[kind].families)


def run(pair: str, kinds: Sequence[str]) -> None:
    """All cases of one pair; a JSON line each."""
    trained = Trained(pair)
    for kind in kinds:
        if not fits(pair, kind):
            continue
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                answer = judged(trained, kind)
        except Exception as error:  # a case that cannot be run is a row of the table
            answer = {
                "status": "failed",
                "error": f"{type(error).__name__}: {error}"[:300],
                "trace": traceback.format_exc()[-1500:],
            }
        print(json.dumps({"pair": pair, "kind": kind, **answer}, default=str), flush=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table: a line a kind of fault, a stage and a pair, and the sums."""
    import training_faults as faults

    ran = [row for row in rows if row["status"] == "ran"]
    planted = [row for row in ran if row["kind"] in faults.FAULTS]
    stages = {kind: f"stage {fault.stage}" for kind, fault in faults.FAULTS.items()}
    lines = [f"{'fault':42}{'cases':>6}{'detected':>10}{'stage+step':>11}{'values':>8}{'named':>7}"]
    for group in (
        lambda row: row["kind"],
        lambda row: stages[row["kind"]],
        lambda row: row["pair"],
    ):
        named = dict.fromkeys(map(group, planted))
        lines += [_line(name, [row for row in planted if group(row) == name]) for name in named]
    lines.append(_line("all", planted))
    healthy = [row for row in ran if row["kind"] in faults.HEALTHY]
    alarms = sum(bool(row["alarm"]) for row in healthy)
    passed = sum(bool(row["passed"]) for row in healthy)
    counts = f"{len(healthy)}, passed {passed}, false alarms {alarms}"
    lines.append(f"healthy runs of {HEALTHY_STEPS} steps: {counts}")
    others = [row for row in rows if row["status"] != "ran"]
    for status in sorted({row["status"] for row in others}):
        lines.append(f"{status}: {sum(row['status'] == status for row in others)}")
    return "\n".join(lines)


def _line(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """One row of the table: how many cases, and of how many what was right."""
    import training_faults as faults

    cells = [str(len(rows)), _share(rows, "detected"), _share(rows, "stage")]
    valued = [row for row in rows if faults.FAULTS[row["kind"]].values]
    worded = [row for row in rows if faults.FAULTS[row["kind"]].words]
    cells += [_share(valued, "values"), _share(worded, "named")]
    widths = (6, 10, 11, 8, 7)
    shown_cells = [f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)]
    return f"{kind:42}{''.join(shown_cells)}"


def _share(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    return f"{sum(bool(row[column]) for row in rows)}/{len(rows)}" if rows else "-"


def main() -> None:
    """The command."""
    import training_faults as faults
    import training_losses as losses

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", default=",".join(losses.SUBJECTS))
    parser.add_argument("--faults", default=",".join((*faults.FAULTS, *faults.HEALTHY)))
    parser.add_argument("--healthy", action="store_true", help="healthy runs alone")
    parser.add_argument("--rows", type=Path, help="a file of JSON lines to add to, or to read")
    parser.add_argument("--read", action="store_true", help="the table of --rows, nothing is run")
    parser.add_argument("--one", help="run one pair here; a JSON line a case")
    given = parser.parse_args()
    kinds = list(faults.HEALTHY) if given.healthy else given.faults.split(",")
    if given.one:
        run(given.one, kinds)
        return
    rows = []
    if not given.read:
        for pair in given.pairs.split(","):
            rows += _elsewhere(pair, kinds, given.rows)
    else:
        latest = {}
        for line in given.rows.read_text().splitlines():
            row = json.loads(line)
            latest[row["pair"], row["kind"]] = row
        rows = list(latest.values())
    print(table(rows))


def _elsewhere(pair: str, kinds: Sequence[str], kept: Path | None) -> list[dict[str, Any]]:
    """A pair's cases, in a process of its own."""
    command = [sys.executable, __file__, "--one", pair, "--faults", ",".join(kinds)]
    rows = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if not line.startswith('{"pair"'):
                continue
            rows.append(json.loads(line))
            print(shown(rows[-1]), file=sys.stderr, flush=True)
            if kept is not None:
                with kept.open("a") as file:
                    file.write(line)
    return rows


def shown(row: Mapping[str, Any]) -> str:
    """A case in a line."""
    marks = [name for name in MARKS if row.get(name)]
    said = row.get("findings") or [row.get("error", "")]
    told = [row["pair"], row["kind"], row["status"], " ".join(marks), str(row.get("seconds"))]
    told.append(str(said[0])[:200] if said else "")
    return " | ".join(map(str, told))


if __name__ == "__main__":
    main()
