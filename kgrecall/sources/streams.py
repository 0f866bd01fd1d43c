"""Bytes of a text file as UTF-8, whatever they were compressed with or encoded in."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from kgrecall.errors import SourceError, nearest

CHUNK_BYTES = 4 << 20
_COMPRESSION = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def _mark(error: UnicodeError) -> tuple[str, int]:
    """A decoding handler: undecodable bytes become lone surrogates, which are no valid UTF-8 and so are found later."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 + byte) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("kgrecall_mark", _mark)


def text_chunks(path: Path, encoding: str | None = None, chunk_bytes: int | None = None) -> Iterator[tuple[bytes, float]]:
    """Read a file as UTF-8 bytes without byte-order mark, chunk by chunk.

    gzip and zstd are recognised by their first bytes. UTF-8 input is passed through unchecked; text of another encoding is
    converted, and what does not belong to that encoding becomes invalid UTF-8.

    Args:
        path: the file.
        encoding: name of a Python codec; None: UTF-8, or what a byte-order mark says.
        chunk_bytes: how much to read at a time (before conversion); None: 4 MiB.

    Yields:
        (bytes, share of the file that has been read: 0 to 1)

    Raises:
        SourceError: it cannot be read, it is cut off (compressed), or the encoding is unknown.
    """
    try:
        size = max(path.stat().st_size, 1)
        with pa.OSFile(str(path)) as raw:
            head = raw.read(4)
            raw.seek(0)
            kind = next((name for magic, name in _COMPRESSION.items() if head.startswith(magic)), None)
            stream = raw if kind is None else pa.CompressedInputStream(raw, kind)
            yield from _decoded(stream, raw, size, encoding, chunk_bytes or CHUNK_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error


def _decoded(
    stream: pa.NativeFile, raw: pa.OSFile, size: int, encoding: str | None, chunk_bytes: int
) -> Iterator[tuple[bytes, float]]:
    chunk = stream.read(chunk_bytes)
    bom, found = next(((bom, name) for bom, name in _BOMS if chunk.startswith(bom)), (b"", "utf-8"))
    name = codec_name(encoding) if encoding else found
    if name == "utf-16":
        name = found if found.startswith("utf-16") else "utf-16-le"
    if found == name:
        chunk = chunk[len(bom) :]
    if name == "utf-8":
        while chunk:
            yield chunk, raw.tell() / size
            chunk = stream.read(chunk_bytes)
        return
    decoder = codecs.getincrementaldecoder(name)("kgrecall_mark")
    while chunk:
        yield decoder.decode(chunk).encode("utf-8", "surrogatepass"), raw.tell() / size
        chunk = stream.read(chunk_bytes)
    yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass"), 1.0


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are text as the readers expect it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def codec_name(encoding: str) -> str:
    """The canonical name of a text encoding.

    Raises:
        SourceError: Python knows no such encoding.
    """
    try:
        if encoding.lower().replace("_", "-") in {"utf-8-sig", "utf8-sig"}:
            return "utf-8"
        name = codecs.lookup(encoding).name
        if not isinstance(codecs.getincrementaldecoder(name)("kgrecall_mark").decode(b"a" * 8, final=True), str):
            raise LookupError(encoding)
        return name
    except (LookupError, UnicodeError, ValueError, TypeError, AssertionError) as error:
        known = ("utf-8", "utf-16", "latin-1", "cp1252", "cp1251", "gb18030", "big5", "shift_jis", "euc-jp", "euc-kr")
        raise SourceError("encoding", expected="a text encoding", got=encoding, remedy=nearest(encoding, known)) from error


def unreadable(path: Path, error: OSError) -> SourceError:
    """What the operating system or the decompressor said, as one of our errors."""
    return SourceError(
        str(path),
        expected="a readable file",
        got=str(error.strerror or error),
        remedy="Check the path, its permissions and that the copy is complete.",
    )
