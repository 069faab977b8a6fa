"""Whether a map that the tool suggests changes what the tool says, over the real pairs in `pairs/`.

    python benchmarks/own_map.py                     every pair, each in a process of its own
    python benchmarks/own_map.py tv_resnet18 hf_bert  some

`compare` runs with and without the pair's own suggested map, written to a file's text and read
again. Verdict, findings and number of regions have to be the same. Exits with 1 where they are not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--one", action="store_true", help="run the pair in this process")
    parser.add_argument("--seconds", type=float, default=300, help="the most for one pair")
    options = parser.parse_args()
    sys.path.insert(0, str(HERE / "pairs"))
    if options.one:
        print("RESULT " + json.dumps(measure(options.names[0])))
        return
    known = json.loads((HERE / "pairs" / "known.json").read_text())
    names = options.names or sorted(known)
    changed = [name for name in names if not told(name, isolated(name, options.seconds))]
    print(f"{len(names) - len(changed)} of {len(names)} pairs are told alike under their own map")
    sys.exit(bool(changed))


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


def told(name: str, result: dict) -> bool:
    """Prints the pair's line; whether both runs say the same."""
    if "error" in result:
        print(f"{name:34s} {result['error']}", flush=True)
        return False
    same = result["plain"] == result["mapped"]
    print(f"{name:34s} {'same' if same else 'changed'}  {result['plain']['regions']}", flush=True)
    if not same:
        print(f"    without: {result['plain']}\n    with:    {result['mapped']}", flush=True)
    return same


def measure(name: str) -> dict:
    """What `compare` says of the pair without and with its own map."""
    import pairs

    layer, module, example = pairs.PAIRS[name].fn()
    layer.eval()
    module.eval()
    from padiff_graph import LayerMap, compare

    text = LayerMap().auto(layer, module, example).to_yaml()
    own = {name: tensor.numpy() for name, tensor in layer.state_dict().items()}
    plain = compare(layer, module, example)
    layer.set_state_dict(own)  # both begin with the same weights
    mapped = compare(layer, module, example, layer_map=LayerMap.from_yaml(text))
    return {"plain": said(plain), "mapped": said(mapped)}


def said(report: object) -> dict:
    """The part of a report that has to stay."""
    findings = [
        [finding.verdict, finding.cause, finding.paddle_path] for finding in report.findings
    ]
    return {"passed": report.passed, "regions": report.regions, "findings": findings}


if __name__ == "__main__":
    main()
