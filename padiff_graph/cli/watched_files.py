"""The source files of one or two targets, and waiting until one of them changes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from padiff_graph.request.reloading import error_files, forget, standing
from padiff_graph.request.user_files import (
    Source,
    closure,
    content,
    is_users,
    loaded_files,
    roots_of,
    target_file,
)

__all__ = ["WatchedFiles"]

Stamp = tuple[int, int]
"""When a file was written, in nanoseconds, and its size; zeros where it is not there."""


class WatchedFiles:
    """The user's files that targets consist of, as they were when they were last read.

    Args:
        targets: as on the command line; the text of their files says what they import. What they
            import otherwise is seen when they do.
    """

    def __init__(self, targets: Iterable[str]) -> None:
        self.begin = [file for target in targets if (file := target_file(target)) is not None]
        self.roots = list(dict.fromkeys(root for file in self.begin for root in roots_of(file)))
        self.before = set(loaded_files())
        self.further: set[str] = set()
        self.sources: dict[str, Source] = {}
        self.contents: dict[str, str] = {}
        self.read()

    def read(self) -> None:
        """Takes the files as they are now; those that an import brought since are among them."""
        files = loaded_files()
        self.further |= {files[name] for name in files.keys() - self.before}
        self.sources = closure([*self.begin, *self.further], self.roots)
        self.contents = {file: content(file) for file in self.sources}

    def failed(self, error: BaseException) -> None:
        """What an exception came from is watched too."""
        raised = {os.path.realpath(file) for file in error_files(error)}
        self.further |= {file for file in raised if os.path.isfile(file) and is_users(file)}
        self.read()

    def held(self) -> dict[str, object]:
        """What the modules of these files hold."""
        return standing(self.sources)

    def reload(self, changed: Iterable[str]) -> list[str]:
        """Lets go of the modules that depend on changed files; answers with their names."""
        return forget({*changed}, self.sources, self.roots)

    def wait(self, interval: float) -> list[str]:
        """Waits until files hold something else than when they were read, and stay so for one
        interval, as an editor may write a file in several steps.

        Args:
            interval: seconds between two looks.
        """
        stamps = self._stamps()
        known = self.contents
        changed = [file for file, old in known.items() if content(file) != old]
        while not changed:
            time.sleep(interval)
            now = self._stamps()
            if now == stamps:
                continue
            while now != stamps:
                stamps = now
                time.sleep(interval)
                now = self._stamps()
            changed = [file for file, old in known.items() if content(file) != old]
        return sorted(changed)

    def _stamps(self) -> dict[str, Stamp]:
        return {file: _stamp(file) for file in self.contents}


def _stamp(file: str) -> Stamp:
    try:
        facts = os.stat(file)
    except OSError:
        return 0, 0
    return facts.st_mtime_ns, facts.st_size
