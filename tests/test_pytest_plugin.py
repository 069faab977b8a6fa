"""The pytest plugin in a project of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

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
    missing = pytester.runpytest_subprocess("-q")
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*--update-structure-locks*"])
    pytester.runpytest_subprocess("-q", "--update-structure-locks").assert_outcomes(passed=1)
    lock = pytester.path / "net.structure.lock"
    assert "LayerNormalization" in lock.read_text()
    pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
    lock.write_text(lock.read_text().replace("epsilon=1e-05", "epsilon=1e-06"))
    drifted = pytester.runpytest_subprocess("-q")
    drifted.assert_outcomes(failed=1)
    drifted.stdout.fnmatch_lines(
        [
            "*-b/LayerNormalization*epsilon=1e-06*",
            "*+b/LayerNormalization*epsilon=1e-05*",
            "*--update-structure-locks*",
        ]
    )
    assert "def hold" not in drifted.stdout.str()
