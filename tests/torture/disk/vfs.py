"""A SQLite VFS, made with ctypes, that passes file operations through Python before the default VFS executes them.

It is registered in the library that Python's own sqlite3 uses. Only operations that open, change or (optionally) read
files pass through Python; locks, shared memory and everything else go to the default VFS directly.
See https://www.sqlite.org/vfs.html and the structures in sqlite3.h.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, c_char_p, c_int, c_int64, c_void_p
from pathlib import Path
from typing import Any, Protocol

Proceed = Callable[[], int]  # executes the operation and returns a SQLite result code, 0 for success


class FileOperations(Protocol):
    """The operations that pass through Python, on the thread that SQLite runs on. Each returns a result code."""

    intercepts_reads: bool

    def open(self, path: Path, proceed: Proceed) -> int: ...
    def read(self, path: Path, proceed: Proceed) -> int: ...
    def write(self, path: Path, offset: int, data: bytes, proceed: Proceed) -> int: ...
    def truncate(self, path: Path, size: int, proceed: Proceed) -> int: ...
    def sync(self, path: Path, proceed: Proceed) -> int: ...
    def delete(self, path: Path, proceed: Proceed) -> int: ...


_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_TRANSFER = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)  # xRead and xWrite
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(ctypes.Structure):
    _fields_ = (
        *((name, c_int) for name in ("iVersion", "szOsFile", "mxPathname")),
        *(("pNext", c_void_p), ("zName", c_char_p), ("pAppData", c_void_p)),
        *((name, c_void_p) for name in ("xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError")),
        *((name, c_void_p) for name in ("xDlSym", "xDlClose", "xRandomness", "xSleep", "xCurrentTime")),
        *((name, c_void_p) for name in ("xGetLastError", "xCurrentTimeInt64", "xSetSystemCall", "xGetSystemCall")),
        ("xNextSystemCall", c_void_p),
    )


class _IoMethods(ctypes.Structure):
    _fields_ = (
        ("iVersion", c_int),
        *((name, c_void_p) for name in ("xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock")),
        *((name, c_void_p) for name in ("xUnlock", "xCheckReservedLock", "xFileControl", "xSectorSize")),
        *((name, c_void_p) for name in ("xDeviceCharacteristics", "xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap")),
        *((name, c_void_p) for name in ("xFetch", "xUnfetch")),
    )


_registered: list[object] = []  # never freed, because SQLite may call a shim as long as a connection is open


class ShimFault(Exception):
    """The Python code of the VFS itself raised, inside a call from SQLite."""


@contextmanager
def default_vfs(operations: FileOperations) -> Iterator[None]:
    """Let connections that are opened in this context reach their files through `operations` until they are closed."""
    library = _library()
    shim = _Shim(library, operations)
    _registered.append(shim)
    library.sqlite3_vfs_register(ctypes.byref(shim.vfs), 1)
    try:
        yield
    finally:
        library.sqlite3_vfs_unregister(ctypes.byref(shim.vfs))
    if shim.faults:
        raise ShimFault("\n".join(shim.faults))


def _library() -> ctypes.CDLL:
    """Return the libsqlite3 that Python's sqlite3 is linked with, through the extension module."""
    file = getattr(_sqlite3, "__file__", None)
    library = ctypes.CDLL(file)  # file is None if the module is linked into the program itself
    try:
        library.sqlite3_vfs_find.restype = c_void_p
        version = library.sqlite3_libversion
    except AttributeError as fault:
        raise RuntimeError(f"SQLite's functions cannot be found in {file}: {fault}") from fault
    version.restype = c_char_p
    assert version().decode() == sqlite3.sqlite_version, "the library must be the one that Python uses"
    return library


class _Shim:
    def __init__(self, library: ctypes.CDLL, operations: FileOperations) -> None:
        self.faults: list[str] = []
        self._operations = operations
        self._default = library.sqlite3_vfs_find(None)
        self._paths: dict[int, Path] = {}  # by address of the open file
        self._default_methods: dict[int, _IoMethods] = {}  # by address of the open file
        self._methods_by_address: dict[int, tuple[_IoMethods, _IoMethods]] = {}  # the default VFS's methods and ours
        original = _Vfs.from_address(self._default)
        self._open, self._delete = _OPEN(original.xOpen), _DELETE(original.xDelete)
        self.vfs = _Vfs.from_buffer_copy(original)
        self.vfs.zName, self.vfs.pNext = b"darkroom-torture", None
        self._callbacks = {
            "xClose": _CLOSE(self._on_close),
            "xWrite": _TRANSFER(self._on_write),
            "xTruncate": _TRUNCATE(self._on_truncate),
            "xSync": _SYNC(self._on_sync),
            **({"xRead": _TRANSFER(self._on_read)} if operations.intercepts_reads else {}),
        }
        self._vfs_callbacks = _OPEN(self._on_open), _DELETE(self._on_delete)
        self.vfs.xOpen, self.vfs.xDelete = map(_address, self._vfs_callbacks)

    def _on_open(self, _: int, name: int | None, file: int, flags: int, out_flags: int | None) -> int:
        methods = c_void_p.from_address(
            file
        )  # the first field of a sqlite3_file; NULL means that nothing has to be closed
        methods.value = None
        if name is None:  # a temporary file, which no one reads after a crash
            return int(self._open(self._default, name, file, flags, out_flags))
        path = Path(ctypes.string_at(name).decode())
        code = self._without_exceptions(
            lambda: self._operations.open(path, lambda: int(self._open(self._default, name, file, flags, out_flags)))
        )
        if code == sqlite3.SQLITE_OK:
            assert methods.value is not None
            self._paths[file] = path
            self._default_methods[file], ours = self._methods(methods.value)
            methods.value = ctypes.addressof(ours)
        return code

    def _methods(self, address: int) -> tuple[_IoMethods, _IoMethods]:
        if address not in self._methods_by_address:
            original = _IoMethods.from_address(address)
            ours = _IoMethods.from_buffer_copy(original)
            for name, callback in self._callbacks.items():
                setattr(ours, name, _address(callback))
            self._methods_by_address[address] = original, ours
        return self._methods_by_address[address]

    def _on_close(self, file: int) -> int:
        del self._paths[file]
        return int(_CLOSE(self._default_methods.pop(file).xClose)(file))

    def _on_read(self, file: int, buffer: int, amount: int, offset: int) -> int:
        proceed = _TRANSFER(self._default_methods[file].xRead)
        return self._without_exceptions(
            lambda: self._operations.read(self._paths[file], lambda: proceed(file, buffer, amount, offset))
        )

    def _on_write(self, file: int, buffer: int, amount: int, offset: int) -> int:
        proceed, data = _TRANSFER(self._default_methods[file].xWrite), ctypes.string_at(buffer, amount)
        return self._without_exceptions(
            lambda: self._operations.write(
                self._paths[file], offset, data, lambda: proceed(file, buffer, amount, offset)
            )
        )

    def _on_truncate(self, file: int, size: int) -> int:
        proceed = _TRUNCATE(self._default_methods[file].xTruncate)
        return self._without_exceptions(
            lambda: self._operations.truncate(self._paths[file], size, lambda: proceed(file, size))
        )

    def _on_sync(self, file: int, flags: int) -> int:
        proceed = _SYNC(self._default_methods[file].xSync)
        return self._without_exceptions(lambda: self._operations.sync(self._paths[file], lambda: proceed(file, flags)))

    def _on_delete(self, _: int, name: int, sync_folder: int) -> int:
        path = Path(ctypes.string_at(name).decode())
        return self._without_exceptions(
            lambda: self._operations.delete(path, lambda: int(self._delete(self._default, name, sync_folder)))
        )

    def _without_exceptions(self, proceed: Proceed) -> int:
        """Turn an exception into an I/O error, because ctypes would print it and report success to SQLite."""
        try:
            return proceed()
        except BaseException:
            self.faults.append(traceback.format_exc())
            return sqlite3.SQLITE_IOERR


def _address(function: Any) -> int | None:
    return ctypes.cast(function, c_void_p).value
