"""Whether a map that the tool suggests changes what the tool says, over the real pairs in `pairs/`.

    python benchmarks/own_map.py                     every pair, each in a process of its own
    python benchmarks/own_map.py tv_resnet18 hf_bert  some
    python benchmarks/own_map.py --rows FILE          goes on where FILE ends
    python benchmarks/own_map.py --rows FILE --read   what FILE says, nothing is run

`compare` runs with and without the pair's own suggested map, written to a file's text and read
again. Verdict, findings and number of regions have to be the same. Exits with 1 where they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--one", action="store_true", help="run the pair in this process")
    parser.add_argument("--seconds", type=float, default=300, help="the most for one pair")
    parser.add_argument("--rows", type=Path, help="file that answers are added to and read from")
    parser.add_argument("--read", action="store_true", help="only tell what the rows say")
    parser.add_argument("--again", action="store_true", help="pairs without an answer once more")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE / "pairs"))
    if options.one:
        print("RESULT " + json.dumps(measure(options.names[0])))
        return
    known = json.loads((HERE / "pairs" / "known.json").read_text())
    names = options.names or sorted(known)
    rows = read(options.rows)
    for name in names:
        if options.read or (name in rows and not (options.again and "error" in rows[name])):
            continue
        rows[name] = isolated(name, options.seconds)
        if options.rows:
            with options.rows.open("a") as file:
                file.write(json.dumps({"name": name, **rows[name]}) + "\n")
        print(words(name, rows[name]), flush=True)
    sys.exit(tell([(name, rows[name]) for name in names if name in rows], options.read))


def read(rows: Path | None) -> dict[str, dict]:
    """What a file of rows holds, the last answer of each pair."""
    if rows is None or not rows.exists():
        return {}
    found = map(json.loads, rows.read_text().splitlines())
    return {row.pop("name"): row for row in found}


def isolated(name: str, seconds: float) -> dict:
    """The pair in a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--one", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no answer in {seconds:g} s"}
    for text in done.stdout.splitlines():
        if text.startswith("RESULT "):
            return json.loads(text.removeprefix("RESULT "))
    return {"error": (done.stderr.strip().splitlines() or ["no output"])[-1][:300]}


def alike(row: dict) -> bool:
    """Whether both runs say the same."""
    return "error" not in row and row["plain"] == row["mapped"]


def words(name: str, row: dict) -> str:
    """The pair's line, and both reports where they differ."""
    if "error" in row:
        return f"{name:34s} {row['error']}"
    line = (
        f"{name:34s} {'same' if alike(row) else 'changed'}  {row['plain']['regions']} regions,"
        f" {row['seconds'][0]:.0f} and {row['seconds'][1]:.0f} s of CPU"
    )
    return (
        line if alike(row) else f"{line}\n    without: {row['plain']}\n    with:    {row['mapped']}"
    )


def tell(rows: list[tuple[str, dict]], whole: bool) -> bool:
    """Prints the sum, every row with it where wanted; whether any pair is not told alike."""
    for name, row in rows if whole else ():
        print(words(name, row))
    same = sum(alike(row) for _, row in rows)
    silent = sum("error" in row for _, row in rows)
    print(
        f"{same} of {len(rows)} pairs are told alike under their own map,"
        f" {len(rows) - same - silent} are not, {silent} gave no answer"
    )
    return same < len(rows)


def measure(name: str) -> dict:
    """What `compare` says of the pair without and with its own map."""
    import pairs

    layer, module, example = pairs.PAIRS[name].fn()
    layer.eval()
    module.eval()
    from padiff_graph import LayerMap, compare

    text = LayerMap().auto(layer, module, example).to_yaml()
    own = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    laps = [time.process_time()]
    plain = compare(layer, module, example)
    laps.append(time.process_time())
    layer.set_state_dict(own)  # both begin with the same weights
    mapped = compare(layer, module, example, layer_map=LayerMap.from_yaml(text))
    laps.append(time.process_time())
    seconds = [laps[1] - laps[0], laps[2] - laps[1]]
    return {"plain": said(plain), "mapped": said(mapped), "seconds": seconds}


def said(report: object) -> dict:
    """The part of a report that has to stay."""
    findings = [
        [finding.verdict, finding.cause, finding.paddle_path] for finding in report.findings
    ]
    return {"passed": report.passed, "regions": report.regions, "findings": findings}


if __name__ == "__main__":
    main()
