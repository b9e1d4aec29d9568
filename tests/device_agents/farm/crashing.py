"""A journal that dies at a chosen statement."""

import contextlib
from collections.abc import Iterator
from typing import Any

from device_agents.farm.journal import FarmJournal
from tests.device_agents.farm.network import Crash


class CrashingJournal(FarmJournal):
    """In memory, and dies at a chosen statement; what was not committed is gone."""

    def __init__(self, is_torn: bool) -> None:
        super().__init__(":memory:")
        self.statements_left: int | None = None
        self.dies_after = ""
        self._is_torn = is_torn

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        if self._is_torn:  # planted: every statement is a transaction of its own
            yield _Counting(self._database, self)
            return
        with super().transaction() as database:
            yield _Counting(database, self)
            self.count()  # just before the commit

    @property
    def is_doomed(self) -> bool:
        return self.statements_left is not None or bool(self.dies_after)

    def spare(self) -> None:
        self.statements_left, self.dies_after = None, ""

    def executed(self, statement: str) -> None:
        if self.dies_after and statement.startswith(self.dies_after):
            self.statements_left, self.dies_after = 0, ""

    def count(self) -> None:
        if self.statements_left is not None:
            self.statements_left -= 1
            if self.statements_left < 0:
                self.statements_left = None
                raise Crash


class _Counting:
    def __init__(self, database: Any, journal: CrashingJournal) -> None:
        self._database = database
        self._journal = journal

    def execute(self, statement: str, *arguments: Any) -> Any:
        self._journal.count()
        answer = self._database.execute(statement, *arguments)
        self._journal.executed(statement)
        return answer

    def executemany(self, *arguments: Any) -> Any:
        self._journal.count()
        return self._database.executemany(*arguments)
