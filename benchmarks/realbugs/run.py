"""Every case, healthy and faulty, through every tool that is asked for; then the tables.

Each form of a case runs in a process of its own, forked after the frameworks are imported: what a
tool leaves behind (patched functions, a static mode) does not reach the next one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import torch

from benchmarks.realbugs import truth
from benchmarks.realbugs.case import Case
from benchmarks.realbugs.cases import CASES
from benchmarks.realbugs.runners import RUNNERS, Said, prepare, runner
from benchmarks.realbugs.scoring import Score, rows, scored, totals

__all__ = ["ask", "main"]

LIMIT = 300.0
"""Seconds that one form of a case may take; none takes a tenth of it."""


def ask(case: Case, faulty: bool, tool: str, limit: float = LIMIT) -> Said:
    """What a tool says of one form, in a process of its own."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(case, faulty, tool, sender))
    child.start()
    sender.close()
    try:
        if not receiver.poll(limit):
            return Said("cannot", text=f"no answer in {limit:g} s")
        return Said(**receiver.recv())
    except EOFError:
        return Said("cannot", text="the process died")
    finally:
        child.kill()
        child.join()


def _answer(case: Case, faulty: bool, tool: str, sender: Any) -> None:
    """In the child: the pair from fixed seeds, the tool's answer or its exception."""
    torch.manual_seed(0)
    paddle.seed(0)
    np.random.seed(0)
    pair = case.build(faulty)
    try:
        said = runner(tool)(case, pair)
    except Exception as error:
        said = Said("cannot", text=f"{type(error).__name__}: {error}"[:300])
    sender.send(asdict(said))


def _chosen(names: Sequence[str]) -> list[Case]:
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        raise SystemExit(f"no case {', '.join(sorted(unknown))}")
    return [case for case in CASES if not names or case.name in names]


def _tell(case: Case, score: Score, seconds: float) -> None:
    """One case in one line, and what was said where it fell short."""
    short = [what for what in ("detected", "exact", "cause") if not getattr(score, what)]
    fell = (short if score.bug else []) + (["ALARM"] if score.alarms else [])
    fell += ["cannot"] if score.cannot else []
    print(f"{case.name}: {'missed ' + ', '.join(fell) if fell else 'right'} {seconds:.1f} s")
    if fell:
        print(f"    faulty: {score.faulty}\n    healthy: {score.healthy}", flush=True)


def _through(tool: str, cases: Sequence[Case]) -> list[Score]:
    prepare(tool)
    scores = []
    for case in cases:
        start = time.perf_counter()
        score = scored(case, ask(case, True, tool), ask(case, False, tool))
        scores.append(score)
        _tell(case, score, time.perf_counter() - start)
    return scores


def _summary(tool: str, scores: Sequence[Score]) -> str:
    sums = totals(scores)
    return (
        f"| {tool} | {sums['detected']} of {sums['bugs']} | {sums['exact']} | {sums['cause']} |"
        f" {sums['alarms']} of {sums['quiet']} | {sums['cannot']} |"
    )


def _check_truth(cases: Sequence[Case]) -> int:
    """The eager truth of every case; how many claims do not hold."""
    wrong = []
    for case in cases:
        sizes = {form: truth.of(case, form == "faulty") for form in ("healthy", "faulty")}
        told = "; ".join(
            f"{form} " + ", ".join(f"{name} {size:.1e}" for name, size in sorted(found.items()))
            for form, found in sizes.items()
        )
        print(f"{case.name}: {told}", flush=True)
        wrong += truth.agrees(case)
    print("\n".join(wrong) or "every claim holds")
    return len(wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code says whether every claim of the eager truth holds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.realbugs", description=__doc__)
    parser.add_argument("cases", nargs="*", help="names; all where none is given")
    parser.add_argument(
        "--tools",
        default="padiff-graph,outputs",
        help=f"of {', '.join(RUNNERS)}, or module:attribute, with commas",
    )
    parser.add_argument("--truth", action="store_true", help="the eager truth alone, no tool")
    parser.add_argument("--list", action="store_true", help="cases and sources alone")
    parser.add_argument("--json", type=Path, help="everything said, into this file")
    asked = parser.parse_args(arguments)
    cases = _chosen(asked.cases)
    if asked.list:
        for case in cases:
            print(f"{case.name}: {', '.join(s.name for s in case.sources)}: {case.mechanism}")
        return 0
    if asked.truth:
        return int(_check_truth(cases) > 0)
    results = {tool: _through(tool, cases) for tool in asked.tools.split(",")}
    for tool, scores in results.items():
        print(f"\n{tool}\n\n" + "\n".join(rows(scores, cases)))
    print("\n| tool | detected | exact place | right cause | alarms | could not be asked |")
    print("| --- | --- | --- | --- | --- | --- |")
    for tool, scores in results.items():
        print(_summary(tool, scores))
    if asked.json:
        told = {tool: [asdict(score) for score in scores] for tool, scores in results.items()}
        asked.json.write_text(json.dumps(told, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
