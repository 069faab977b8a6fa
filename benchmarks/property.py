"""Random paired models through `compare`, healthy and mutated: no false pass, no false alarm, no
crash.

    python benchmarks/property.py --count 1000 --seed 0
    python benchmarks/property.py --wide --count 1000 --seed 0

Every second pair is mutated in one step of the Paddle side; a mutation that changes nothing (told
in float64 by torch alone) is drawn again. With --wide hooks, frozen weights, kept and written
state, types and places of outputs, stochastic depth and sharing stand around the steps, and every
second mutation is one of these; single_step and strict are asked for in turn. Prints one line for
each wrong answer, and a summary as JSON.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent))

OPTIONS = {"atol": 1e-4, "rtol": 1e-4}
WIDE: tuple[dict, ...] = ({}, {"single_step": True}, {"compare_mode": "strict"})
"""Options that wide pairs are compared with, in turn."""
LONE = ("lone number", "lone count", "lone buffer", "lone keep")
TOLD = ("exchange", "operands", "rewired", "residual", *LONE)
"""Changes that may pass where a finding tells them: like heads, operands of a difference and
branches of a sum whose weights follow, and what only one model returns or keeps."""
EXACT = {
    "operands": ("parameter.called_crosswise", "weights.shuffled"),
    "rewired": ("parameter.sum_beside_unread", "weights.shuffled"),
    "residual": ("parameter.sum_beside_unread",),
}
"""Changes that pass with one of these findings alone, by its id: one that the pair has not where it
is healthy."""
SEEN = (*LONE, "count", "buffer", "keep", "cast", "lone cast", "number", "untie", "tie")
"""Changes that are differences whatever the numbers."""
CHUNK = 40
"""Pairs for each process: frameworks keep what they compiled."""


def draw(seed: int, healthy: bool = False):
    """The pair of a seed: (layer, module, example, mutation or None, program)."""
    from random_pairs import build, changes_something, mutate, random_program

    program = random_program(seed)
    if seed % 2 == 0 or healthy:
        return (*build(program), None, program)
    for attempt in range(60):
        found = mutate(program, seed * 1000 + attempt)
        if found is not None and changes_something(program, found[0]):
            return (*build(program, found[0]), found[1], program)
    return (*build(program), None, program)


def draw_wide(seed: int, healthy: bool = False):
    """The same with what stands around the steps: hooks, state, types, sharing, stochastic depth;
    every second mutation is one of these."""
    from random_effects import WidePaddle, WideTorch, changed_effects, drawn_effects
    from random_pairs import changes_something, differ, mutate, random_program, ready

    program = random_program(seed)
    effects = drawn_effects(program)
    other, others, mutation = program, effects, None
    for attempt in range(60 if seed % 2 and not healthy else 0):
        if seed % 4 == 1:
            stepwise = mutate(program, seed * 1000 + attempt)
            if stepwise is not None and changes_something(program, stepwise[0]):
                # what stands around may hide it: outputs as integers, a detach in front of one
                models = [WideTorch(one, effects, style=7) for one in (program, stepwise[0])]
                if differ(program, [model.double() for model in models]):
                    other, mutation = stepwise
                    break
            continue
        around = changed_effects(program, effects, seed * 1000 + attempt)
        if around is None:
            continue
        pair = (program, effects), around[:2]
        seen = around[2].kind in SEEN
        if seen or differ(program, [WideTorch(*one, style=7).double() for one in pair]):
            other, others, mutation = around
            break
    made = WidePaddle(other, others), WideTorch(program, effects)
    return (*ready(program, *made), mutation, program)


def judge(seed: int, wide: bool = False) -> dict:
    """One pair through `compare`."""
    from padiff_graph import compare

    layer, module, example, mutation, program = draw_wide(seed) if wide else draw(seed)
    options = {**OPTIONS, **(WIDE[seed // 2 % len(WIDE)] if wide else {})}
    answer = {
        "seed": seed,
        "mutation": mutation.kind if mutation else None,
        "change": mutation.words if mutation else "",
        "train": program.train,
    }
    started = time.perf_counter()
    try:
        report = compare(layer, module, example, options=options)
    except Exception as error:
        return {
            **answer,
            "outcome": "crash",
            "told": f"{type(error).__name__}: {error}",
            "trace": traceback.format_exc()[-1500:],
        }
    failing = [finding for finding in report.findings if finding.fails]
    answer["seconds"] = time.perf_counter() - started
    answer["findings"] = len(failing)
    answer["told"] = " | ".join(
        f"{found.phase} {found.verdict} {found.paddle_path!r} {found.torch_path!r}: {found.cause}"
        for found in report.findings
    )
    if mutation is None:
        wrong = not report.passed
        answer["outcome"] = ("false alarm" if failing else "not passed") if wrong else "right"
    elif report.passed and mutation.kind in TOLD and _named(answer, wide, options, report):
        answer["outcome"] = "right"
    elif report.passed:
        answer["outcome"] = "false pass"
    elif any(finding.verdict == "rounding" for finding in report.findings) and not failing:
        answer["outcome"] = "false rounding"
    elif not failing:
        answer["outcome"] = "unsure"
    else:
        places = {
            place[0]
            for found in failing
            for place in ((found.paddle_path, found.torch_path), *found.places)
        }
        answer["outcome"] = "right"
        answer["placed"] = any(place.startswith(mutation.paths[0]) for place in places if place)
    return answer


def _named(answer: dict, wide: bool, options: dict, report) -> bool:
    """Whether a finding tells such a change; of some kinds only one of just that."""
    from padiff_graph import compare

    if answer["mutation"] not in EXACT:
        return bool(report.findings)
    sound = compare(*(draw_wide if wide else draw)(answer["seed"], True)[:3], options=options)
    told, before = ({found.cause_id for found in each.findings} for each in (report, sound))
    return bool((told - before) & set(EXACT[answer["mutation"]]))


def main() -> int:
    """Runs the pairs in processes of their own and sums up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one seed, in this process, with everything told")
    parser.add_argument("--chunk", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--wide", action="store_true", help="hooks, state, types, sharing too")
    parser.add_argument("--out", type=pathlib.Path, help="all answers as JSON lines")
    given = parser.parse_args()
    if given.only is not None:
        print(json.dumps(judge(given.only, given.wide), indent=1))
        return 0
    if given.chunk:
        for seed in range(*given.chunk):
            print("ANSWER " + json.dumps(judge(seed, given.wide)), flush=True)
        return 0
    started = time.time()
    wide = ["--wide"] if given.wide else []
    answers: list[dict] = []
    for first in range(given.seed, given.seed + given.count, CHUNK):
        last = min(first + CHUNK, given.seed + given.count)
        while first < last:
            done = subprocess.run(
                [sys.executable, str(HERE), "--chunk", str(first), str(last), *wide],
                capture_output=True,
                text=True,
                check=False,
            )
            found = [
                json.loads(line.removeprefix("ANSWER "))
                for line in done.stdout.splitlines()
                if line.startswith("ANSWER ")
            ]
            answers += found
            first += len(found)
            if first < last:  # the process died on this one
                answers.append(
                    {
                        "seed": first,
                        "outcome": "crash",
                        "told": f"exit code {done.returncode}: {done.stderr[-400:]}",
                    }
                )
                first += 1
    for answer in answers:
        if answer["outcome"] != "right":
            print(
                answer["outcome"],
                answer["seed"],
                answer.get("change", ""),
                "->",
                answer["told"][:300],
            )
    if given.out:
        given.out.write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    mutated = [answer for answer in answers if answer.get("mutation")]
    placed = [answer for answer in mutated if answer.get("placed")]
    alone = [answer for answer in placed if answer.get("findings") == 1]
    print(
        json.dumps(
            {
                "pairs": len(answers),
                "first seed": given.seed,
                "outcomes": dict(collections.Counter(answer["outcome"] for answer in answers)),
                "mutated": len(mutated),
                "placed in the right block": len(placed),
                "with that finding alone": len(alone),
                "seconds": round(time.time() - started),
            }
        )
    )
    return int(any(answer["outcome"] != "right" for answer in answers))


if __name__ == "__main__":
    sys.exit(main())
