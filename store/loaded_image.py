"""A copy of a database, read by SQLite in memory."""

import sqlite3

from peewee import SqliteDatabase

from store.failures import IS_DAMAGED, Unreadable


class LoadedImage(SqliteDatabase):
    """A database in memory, of the bytes of a database file."""

    def __init__(self, image: bytearray) -> None:
        super().__init__(
            ":memory:",
            check_same_thread=False,
            thread_safe=False,
            pragmas={"cell_size_check": 1},
        )
        self._image = image

    def require_sound(self) -> None:
        """Raise Unreadable where the pages do not fit together.

        As after the file was overwritten while it was open, which SQLite cannot know.
        """
        for (finding,) in self.execute_sql("PRAGMA quick_check(1)"):
            # Others are of single values: of those the rows' reading takes care.
            if finding.startswith("*** in database"):
                raise Unreadable(IS_DAMAGED)

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc]
        if self._image:  # an empty file is an empty database
            connection.deserialize(self._image)
        self._image = bytearray()  # the connection has its own copy
        return connection
