"""Reads LLVM's files of an instrumented program: the counts of one run (.profraw), and
the profile that the compiler uses (.profdata). As of LLVM 22: llvm/ProfileData/InstrProfData.inc
and InstrProf.h. A function is a pair: the hash of its name and that of its control flow,
which are what the compiler looks for in the profile."""

import hashlib
import struct
import zlib

RAW, RAW_VERSION = int.from_bytes(b"\xfflprofr\x81"), 10
INDEXED, INDEXED_VERSION = b"\xfflprofi\x81", 13
# The upper byte says how the counts were made.
VERSION = (1 << 56) - 1
# NameRef, FuncHash, counters, bitmap, function, values, numbers of counters, of the
# three kinds of values and of bytes of the bitmap.
FUNCTION = struct.Struct("<6QI3H2xI")


def words(data, at, count):
    return struct.unpack_from(f"<{count}Q", data, at)


def counted(data):
    """{function: its largest counter} of a run."""
    magic, version, ids, functions, before, counters, after, bitmap, more, names, delta = words(data, 0, 11)
    if magic != RAW or version & VERSION != RAW_VERSION:
        raise ValueError(f"raw profile of version {version & VERSION}, not {RAW_VERSION}")
    at = 16 * 8 + ids
    start = at + functions * FUNCTION.size + before
    found = {}
    for number in range(functions):
        name, flow, place, *_, count = FUNCTION.unpack_from(data, at + number * FUNCTION.size)[:7]
        # Offsets are relative to the function's own record.
        offset = (place - delta + number * FUNCTION.size) % (1 << 64)
        found[name, flow] = max(words(data, start + offset, count), default=0)
    at = start + counters * 8 + after + bitmap + more
    return found, dict(names_in(data[at:at + names]))


def names_in(data):
    """Pairs of a name's hash and the name: a piece for each crate."""
    while data:
        if not data[0]:
            data = data[1:]
            continue
        size, data = uleb128(data)
        packed, data = uleb128(data)
        piece = zlib.decompress(data[:packed]) if packed else data[:size]
        data = data[packed or size:]
        for name in piece.split(b"\1"):
            yield name_hash(name), name.decode()


def uleb128(data):
    end = next(n for n, byte in enumerate(data) if byte < 128) + 1
    return sum((byte & 127) << 7 * n for n, byte in enumerate(data[:end])), data[end:]


def name_hash(name):
    return int.from_bytes(hashlib.md5(name).digest()[:8], "little")


def known(data):
    """The functions of a profile: a hash table in which each name has a record for
    each control flow."""
    version, _, _, table = words(data, 8, 4)
    if not data.startswith(INDEXED) or version & VERSION != INDEXED_VERSION:
        raise ValueError(f"profile of version {version & VERSION}, not {INDEXED_VERSION}")
    buckets, _ = words(data, table, 2)
    for bucket in filter(None, words(data, table + 16, buckets)):
        (items,) = struct.unpack_from("<H", data, bucket)
        at = bucket + 2
        for _ in range(items):
            name, key, size = words(data, at, 3)
            at += 24 + key
            end = at + size
            while at < end:
                flow, counters = words(data, at, 2)
                at += 16 + counters * 8
                (bitmap,) = words(data, at, 1)
                at += 8 + (bitmap + 7) // 8 * 8
                at += struct.unpack_from("<I", data, at)[0]
                yield name, flow
