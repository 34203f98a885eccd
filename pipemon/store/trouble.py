"""What a driver's error means to us: try again later, free some space, or give up."""

import sqlite3

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

# What a statement, a commit or the pool can raise; anything else is a mistake of ours and stays what it is.
DRIVER_ERRORS = (DBAPIError, sqlite3.Error, sa.exc.TimeoutError)

# sqlite.org/rescode.html; the upper bits of a code only say more about the same thing.
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
# A disk that is full can show as an I/O error too, a file system that became read-only as a read-only database.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
_UNUSABLE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}

# postgresql.org/docs/current/errcodes-appendix.html: lock not available, too many connections, the transaction was
# idle for too long, and a server that is a standby by now.
_PASSING_STATES = {"55P03", "53300", "25P03", "25006"}
_PASSING_CLASSES = ("40", "08", "57P0")  # serialization and deadlock; connection; shutdown, or killed by an operator
_SLOW = "57014"  # the statement timeout: it had its time, so it is not tried again at once
_FULL_STATES = {"53100", "58030"}
_UNUSABLE_CLASSES = ("28", "3D", "42501", "XX")  # who we are, which database, what we may, damaged
# Before there is a session, libpq knows no code for an error, only its words.
_REFUSALS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")


class DatabaseError(Exception):
    """The database could not do it."""


class DatabaseBusy(DatabaseError):
    """The database is held by somebody else, or away for the moment: the same call may go through later."""


class DatabaseFull(DatabaseError):
    """Nothing can be written: the disk is full, or the file system has become read-only."""


class DatabaseUnusable(DatabaseError):
    """This is no database that pipemon can work with, and waiting does not change it."""


def translate(error: BaseException) -> DatabaseError:
    """Return our error for one of the driver's, its text on one line and without the statement."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return _kind(error)(text)


def is_transient(error: BaseException) -> bool:
    """Return whether the same transaction may go through if it is tried again at once."""
    if isinstance(error, sa.exc.TimeoutError):
        return True  # every connection of the pool is taken
    orig = getattr(error, "orig", None) or error
    if isinstance(orig, sqlite3.Error):
        return _sqlite_code(orig) in _BUSY
    state = getattr(orig, "sqlstate", None)
    if state is not None:
        return state in _PASSING_STATES or state.startswith(_PASSING_CLASSES)
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, sa.exc.OperationalError) and not any(words in str(orig) for words in _REFUSALS)


def _kind(error: BaseException) -> type[DatabaseError]:
    if is_transient(error):
        return DatabaseBusy
    orig = getattr(error, "orig", None) or error
    if isinstance(orig, sqlite3.Error):
        return _sqlite_kind(_sqlite_code(orig))
    state = getattr(orig, "sqlstate", None)
    if state is None:
        return DatabaseUnusable if isinstance(error, sa.exc.OperationalError) else DatabaseError
    return _postgresql_kind(state)


def _sqlite_code(error: sqlite3.Error) -> int:
    """Return the primary result code; 0 where the error is not SQLite's but the module's own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _sqlite_kind(code: int) -> type[DatabaseError]:
    if code in _FULL:
        return DatabaseFull
    return DatabaseUnusable if code in _UNUSABLE else DatabaseError


def _postgresql_kind(state: str) -> type[DatabaseError]:
    if state == _SLOW:
        return DatabaseBusy
    if state in _FULL_STATES:
        return DatabaseFull
    return DatabaseUnusable if state.startswith(_UNUSABLE_CLASSES) else DatabaseError
