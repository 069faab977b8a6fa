"""What all tests share."""

from __future__ import annotations

import os
import random
import sys
import zlib

import numpy as np
import pytest
from hypothesis import settings

# no test measures time: a busy machine is no fault of the code
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

OTHER_DRAWS = int(os.environ.get("PADIFF_GRAPH_TEST_SEED", "0"))


@pytest.fixture(autouse=True)
def own_draws(request: pytest.FixtureRequest) -> None:
    """The same random numbers for a test in every run, whatever ran before it; others under
    PADIFF_GRAPH_TEST_SEED."""
    seed = (zlib.crc32(request.node.nodeid.encode()) + OTHER_DRAWS) % 2**31
    random.seed(seed)
    np.random.seed(seed)
    for framework, name in (("torch", "manual_seed"), ("paddle", "seed")):
        if framework in sys.modules:
            getattr(sys.modules[framework], name)(seed)
