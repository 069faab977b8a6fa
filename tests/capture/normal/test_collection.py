"""The garbage collector out of the way: as before afterwards, and nothing kept for ever."""

import gc
import weakref

from padiff_graph.capture.normal.collection import without_collection


class Loop:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.self = self


def test_what_was_made_meanwhile_is_no_young_object_and_still_collected():
    walks: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        walks.append(phase)

    gc.collect()
    gc.callbacks.append(note)
    try:
        with without_collection():
            assert not gc.isenabled()
            gone = weakref.ref(Loop())
            kept = [[at] for at in range(20000)]
        more = [[at] for at in range(50)]
    finally:
        gc.callbacks.remove(note)
    assert gc.isenabled() and len(kept) + len(more) == 20050
    assert not walks  # the next allocations walk over none of it
    assert gone() is not None
    gc.collect()
    assert gone() is None


def test_frozen_objects_of_the_caller_stay_frozen():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with without_collection():
            pass
        assert gc.get_freeze_count() >= frozen - 1000 > 0
    finally:
        gc.unfreeze()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
