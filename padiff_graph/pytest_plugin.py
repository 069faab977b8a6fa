"""The pytest plugin: `assert_ported` as a fixture, and the structure lock.

    def test_port(assert_ported):
        assert_ported(layer, module, example_inp, options={"rtol": 1e-4})

    def test_structure(structure_lock):
        structure_lock(layer, example, "port")          # tests/port.structure.lock, to be committed

A lock is written by the first run with `--update-structure-locks` and fails with the smallest diff
when the model drifts from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

__all__ = ["assert_ported", "pytest_addoption", "pytest_configure", "structure_lock"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The switch that writes locks anew."""
    group = parser.getgroup("padiff-graph")
    group.addoption(
        "--update-structure-locks",
        action="store_true",
        help="write the structure locks of ported models anew",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keeps Paddle's word on C++ extensions, given at import, out of the summary of warnings."""
    config.addinivalue_line("filterwarnings", "ignore:No ccache found:UserWarning")


@pytest.fixture(scope="session")
def assert_ported() -> Callable[..., None]:
    """`padiff_graph.assert_ported`."""
    from padiff_graph.testing import assert_ported as check  # the frameworks load when a test asks

    return check


@pytest.fixture
def structure_lock(request: pytest.FixtureRequest) -> Callable[[Any, Mapping[str, Any], str], None]:
    """Holds a model's structure against a small committed file beside the test.

    Call it with (model, example_kwargs, name); the file is NAME.structure.lock. The structure is
    the normal form's: operators, attributes, wiring, parameter shapes; no source lines.
    """
    from padiff_graph.export.structure_lock import hold

    folder = Path(request.path).parent
    update = bool(request.config.getoption("--update-structure-locks"))

    def check(model: Any, example: Mapping[str, Any], name: str) -> None:
        __tracebackhide__ = True
        hold(model, example, folder / f"{name}.structure.lock", update=update)

    return check
