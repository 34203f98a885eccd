"""The HTTP cache, the only user of requests-cache: it makes 304s possible, and is never allowed to stop a call.

Each answer is revalidated: a 304 costs no budget. The file can be lost at any time; whatever is wrong with it (garbage,
damaged pages, a full disk, another process' lock, a foreign row) is counted, and the call goes on without it.
"""

import hashlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import requests
from requests_cache import NEVER_EXPIRE, CachedSession
from requests_cache.backends.base import BaseCache
from requests_cache.backends.sqlite import SQLiteDict
from requests_cache.models.response import CachedResponse

from pipemon import telemetry
from pipemon.github.wire import GitHubAdapter

log = telemetry.logger(__name__)

LARGEST_FILE = 512 * 1024 * 1024
SAVES_BETWEEN_CHECKS = 50
ROWS_TO_DROP = 100
WITHOUT_SECONDS = 60.0
# SQLite's words for what is wrong around the file; with any other error it is the file itself.
AROUND_THE_FILE = ("locked", "full", "readonly", "disk I/O", "unable to open")


class _Table(SQLiteDict):
    """The table of responses, with a lock that gives up: requests-cache's own loop never does."""

    @contextmanager
    def _acquire_sqlite_lock(self) -> Iterator[None]:
        with self._lock:
            connection = self._connection
            if connection is None:
                raise sqlite3.OperationalError("locked: the file is being closed")
            connection.execute("BEGIN IMMEDIATE")  # busy_timeout is 0: locked by somebody else, it raises at once
            self._active_transaction = True
            try:
                yield
                connection.commit()
            except BaseException:
                # Left open, a transaction would make every later write fail.
                with suppress(sqlite3.Error):
                    connection.rollback()
                raise
            finally:
                self._active_transaction = False

    def drop_oldest(self, largest_bytes: int) -> None:
        """Drop the rows that were written longest ago, some at a time, while the file is too large."""
        with self.connection() as connection:
            pages, size, free = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size", "freelist_count")
            )
        if (pages - free) * size <= largest_bytes:
            return
        with self.connection(commit=True) as connection:
            oldest = f"SELECT rowid FROM {self.table_name} ORDER BY rowid LIMIT {ROWS_TO_DROP}"  # noqa: S608
            connection.execute(f"DELETE FROM {self.table_name} WHERE rowid IN ({oldest})")  # noqa: S608


class ResponseCache(BaseCache):
    """Responses in one SQLite file of this process, by address. No method raises for what is wrong with the file."""

    def __init__(self, path: Path, largest_bytes: int = LARGEST_FILE) -> None:
        super().__init__(cache_name=str(path))
        self._path = path
        self._largest_bytes = largest_bytes
        self._lock = threading.RLock()
        self._table: _Table | None = None
        self._again_at = self._rebuilt_at = float("-inf")
        self._saves = 0

    def create_key(self, request: Any, match_headers: Any = None, **kwargs: Any) -> str:
        """Return the key: of the address alone, since all our requests are alike otherwise."""
        return key_of(str(request.url))

    def get_response(self, key: str, default: Any = None) -> CachedResponse | None:
        table = self._opened()
        if table is None:
            return None
        try:
            response = table[key]
        except KeyError:
            return None
        except Exception as error:
            self._failed("read", error)
            return None
        if response is None:
            telemetry.count("github_cache_errors_total", kind="row")
        # One that can't be revalidated would be served for ever.
        return response if isinstance(response, CachedResponse) and response.headers.get("ETag") else None

    def save_response(self, response: Any, cache_key: str | None = None, expires: datetime | None = None) -> None:
        table = self._opened()
        if table is None or not response.headers.get("ETag"):
            return
        try:
            table[cache_key or ""] = CachedResponse.from_response(response, expires=expires)
            self._saves += 1
            if self._saves % SAVES_BETWEEN_CHECKS == 0:
                table.drop_oldest(self._largest_bytes)
        except Exception as error:
            self._failed("write", error)

    def forget(self, url: str) -> None:
        """Drop what is kept of that address."""
        table = self._opened()
        try:
            if table is not None:
                table.bulk_delete([key_of(url)])  # type: ignore[no-untyped-call]
        except Exception as error:
            self._failed("write", error)

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            table, self._table = self._table, None
            if table is not None:
                table.close()  # type: ignore[no-untyped-call]

    def _opened(self) -> _Table | None:
        with self._lock:
            if self._table is None and time.monotonic() >= self._again_at:
                try:
                    self._table = self._open()
                except Exception as error:
                    self._failed("open", error)
            return self._table

    def _open(self) -> _Table:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) != 0o600:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
        # The default serializer, pickle, would run code out of a tampered file.
        return _Table(self._path, table_name="responses", serializer="json", busy_timeout=0, wal=True)

    def _failed(self, kind: str, error: Exception) -> None:
        """Count it and go without. A file that is unsound is thrown away, any other is tried again later."""
        telemetry.count("github_cache_errors_total", kind=kind)
        log.warning("GitHub's answers are not cached now", kind=kind, error=str(error)[:200])
        if not isinstance(error, (sqlite3.Error, OSError)) or ("locked" in str(error) and kind != "open"):
            return  # a row that can't be read, or somebody who looks at the file: the next call may be luckier
        now = time.monotonic()
        with self._lock:
            self.close()
            self._again_at = now + WITHOUT_SECONDS
            if isinstance(error, sqlite3.Error) and not any(words in str(error) for words in AROUND_THE_FILE):
                self._remove()
                self._again_at = self._rebuilt_at + WITHOUT_SECONDS
                self._rebuilt_at = now

    def _remove(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(self._path.name + ending).unlink(missing_ok=True)


def key_of(url: str) -> str:
    """Return the key of an address: in hex, since requests-cache writes it into SQL text."""
    return hashlib.sha256(url.encode()).hexdigest()[:32]


class GitHubSession(CachedSession):
    """Revalidates each answer with GitHub; what can't be revalidated is an error, never an old answer."""

    def __init__(self, cache: ResponseCache, api_url: str, adapter: GitHubAdapter) -> None:
        super().__init__(
            backend=cache,
            cache_control=False,
            expire_after=NEVER_EXPIRE,
            always_revalidate=True,
            stale_if_error=False,
            allowable_methods=("GET",),
            allowable_codes=(200,),
        )
        # No other address has an adapter: a token can't be sent there by any slip.
        self.adapters.clear()
        self.mount(api_url.rstrip("/") + "/", adapter)

    def _handle_error(self, cached_response: Any, actions: Any) -> NoReturn:
        # With NEVER_EXPIRE requests-cache would hand out the old answer as if GitHub had confirmed it.
        raise


def uncached_session(api_url: str, adapter: GitHubAdapter) -> requests.Session:
    """Return a session for what is read once."""
    session = requests.Session()
    session.adapters.clear()
    session.mount(api_url.rstrip("/") + "/", adapter)
    return session
