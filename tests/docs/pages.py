"""Runs what the documentation shows: Python blocks in order, in one namespace; lines behind `$` as
commands.

`<!-- file: NAME -->` in front of a block writes it to a file; `<!-- output -->` holds what the
block before printed. `python -m tests.docs.pages` writes those outputs anew;
`python tests/docs/pages.py --installed PAGE` runs a page with the installed package alone.
"""

import multiprocessing
import os
import re
import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__" and not __package__:  # started as a file: what stands beside it
    sys.path.insert(0, str(Path(__file__).parent))
    from commands import commanded, printed_by, ran_here
else:
    from tests.docs.commands import commanded, printed_by, ran_here

ROOT = Path(__file__).parents[2]
PAGES = [
    path.relative_to(ROOT)
    for path in [
        *sorted((ROOT / "docs").glob("*.md")),
        ROOT / "README.md",
        ROOT / "README.zh-CN.md",
    ]
    if path.exists()
]
BLOCK = re.compile(
    r"(?:<!-- file: (?P<file>\S+)"
    r" -->\n)?```(?P<language>python|console)\n(?P<code>.*?)```(?P<shown>\n\n<!-- output"
    r" -->(?:\n```text\n(?P<output>.*?)```)?)?",
    re.S,
)
OUTPUT = "\n\n<!-- output -->\n```text\n{}```"
SETUP = ("scripts/demo.sh", "scripts/test.sh", "git clone", "cd ", "pip install")
"""Commands that set a machine up; `.ci/run` and the reader run those."""


@dataclass
class Ran:
    """One block after running."""

    line: int
    printed: str
    expected: str | None
    span: tuple[int, int]
    head: str


def interpreter() -> ProcessPoolExecutor:
    """A process of its own for pages: what one imports, the next need not import again."""
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def run_page(page: Path, folder: Path, pool: ProcessPoolExecutor) -> list[Ran]:
    """Runs a page's blocks inside `folder`, in the process of `pool`; raises where one fails."""
    return pool.submit(_run, page, folder).result()


def _run(page: Path, folder: Path) -> list[Ran]:
    package = folder / "padiff_graph_examples"
    shutil.copytree(ROOT / "examples", package, ignore=shutil.ignore_patterns("__pycache__"))
    return run_blocks(page, folder)


def run_blocks(page: Path, folder: Path) -> list[Ran]:
    """Runs a page's blocks inside `folder`, in this process, and leaves the process as it was."""
    text = (ROOT / page).read_text(encoding="utf-8")
    names: dict = {"__name__": "page"}
    here = Path(sys.executable).parent  # `python` is the one that has this package, as a user's is
    os.environ["PATH"] = f"{here}{os.pathsep}{os.environ['PATH']}"
    ran = []
    with ran_here(folder):
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start("code"))
            printed = ""
            if block["file"]:
                Path(block["file"]).write_text(block["code"], encoding="utf-8")
            elif block["language"] == "python":
                code = compile("\n" * line + block["code"], str(page), "exec")
                printed = printed_by(lambda code=code: exec(code, names)).out
            else:
                printed = "".join(
                    _command(command, folder, f"{page}:{line}")
                    for command in block["code"].splitlines()
                    if command.startswith("$ ")
                )
            if block["shown"] is not None:
                ran.append(Ran(line, printed, block["output"], block.span("shown"), block["code"]))
    return ran


def _command(command: str, folder: Path, place: str) -> str:
    shown = command.removeprefix("$ ")
    if any(setup in shown for setup in SETUP):
        return ""
    wanted = int(found[1]) if (found := re.search(r"# exit code (\d)", shown)) else 0
    done = commanded(shown, folder)
    assert done.code == wanted, (
        f"{place}: exit code {done.code} instead of {wanted} from:"
        f" {shown}\n{done.out[-2000:]}\n{done.err[-2000:]}"
    )
    return done.out


def alike(text: str) -> str:
    """Output without what differs from machine to machine.

    Numbers, line breaks, which regions add most.
    """
    kept = [line for line in text.splitlines() if "adds most" not in line]
    return re.sub(r"\d+(\.\d+)?(e[+-]?\d+)?", "#", " ".join(" ".join(kept).split()))


def rewrite(page: Path, folder: Path) -> None:
    """Writes a page's outputs anew."""
    text = (ROOT / page).read_text(encoding="utf-8")
    with interpreter() as pool:
        ran_blocks = run_page(page, folder, pool)
    for ran in reversed(ran_blocks):
        body = "\n".join(line.rstrip() for line in ran.printed.splitlines()) + "\n"
        text = text[: ran.span[0]] + OUTPUT.format(body) + text[ran.span[1] :]
    (ROOT / page).write_text(text, encoding="utf-8")


def hold_installed(page: Path, folder: Path) -> None:
    """Runs a page with what is installed, and holds what it prints against what it shows."""
    for ran in run_blocks(page, folder):
        assert ran.expected is not None, f"{page}:{ran.line}: the output is not shown"
        assert alike(ran.expected) == alike(ran.printed), f"{page}:{ran.line}: {ran.printed}"


if __name__ == "__main__":
    import tempfile

    arguments = sys.argv[1:]
    work = hold_installed if "--installed" in arguments else rewrite
    named = [name for name in arguments if name != "--installed"]
    for name in named or [str(page) for page in PAGES]:
        with tempfile.TemporaryDirectory() as place:
            work(Path(name), Path(place))
