"""The pytest plugin in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.commands import commanded, ran_here

pytest.importorskip("torch")
pytest_plugins = ["pytester"]
PAIRS = (Path(__file__).parent / "models" / "cli_pairs.py").read_text()


def test_assert_ported(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        cli_pairs=PAIRS,
        test_port="""
        import cli_pairs

        def test_good(assert_ported):
            assert_ported(*cli_pairs.healthy(), options={"rtol": 1e-4, "atol": 1e-6})

        def test_bad(assert_ported):
            assert_ported(*cli_pairs.buggy(), options={"rtol": 1e-4, "atol": 1e-6})
        """,
    )
    done = pytester.runpytest_subprocess("-q")
    done.assert_outcomes(passed=1, failed=1)
    assert (
        "def compare" not in done.stdout.str() and "def assert_ported" not in done.stdout.str()
    ), "the message, not the tool's own code"
    done.stdout.fnmatch_lines(
        [
            "*AssertionError: PaddleNet and TorchNet do not agree.*",
            "*0.001 against 1e-05*",
            "*norm*",
        ]
    )


def nested(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """A run of pytest in this process, which has the frameworks already."""
    with ran_here(pytester.path):
        done = commanded(f"python -m pytest {' '.join(arguments)}", pytester.path)
    return pytest.RunResult(done.code, done.out.splitlines(), done.err.splitlines(), 0.0)


def test_structure_lock(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        cli_pairs=PAIRS,
        test_lock="""
        import cli_pairs

        def test_structure(structure_lock):
            model, example = cli_pairs.one_model()
            structure_lock(model, example, "net")
        """,
    )
    missing = nested(pytester, "-q")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*--update-structure-locks*"])
    nested(pytester, "-q", "--update-structure-locks").assert_outcomes(passed=1)
    lock = pytester.path / "net.structure.lock"
    assert "LayerNormalization" in lock.read_text()
    nested(pytester, "-q").assert_outcomes(passed=1)
    lock.write_text(lock.read_text().replace("epsilon=1e-05", "epsilon=1e-06"))
    drifted = nested(pytester, "-q")
    drifted.assert_outcomes(failed=1)
    drifted.stdout.fnmatch_lines(
        [
            "*-b/LayerNormalization*epsilon=1e-06*",
            "*+b/LayerNormalization*epsilon=1e-05*",
            "*--update-structure-locks*",
        ]
    )
    assert "def hold" not in drifted.stdout.str()
