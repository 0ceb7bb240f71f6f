"""The weight container of listenkit (.lkw), as the converters write it. The same tensors give the same bytes.

All little-endian:

    0   8 bytes  magic "LKWEIGHT"
    8   u32      version: 1 when every tensor is float32, else 2
    12  u32      CRC-32 (zlib's) of everything from byte 16 on
    16  u32      length of the file
    20  u32      count of tensors
    24  per tensor: u16 length of the name, the name in UTF-8, in version 2 only u8 type of the values (0 float32,
        1 int8), u8 count of dimensions, u32 per dimension, u32 offset of its data from the start of the file,
        a multiple of 64
    then the data, row-major, each block padded with zeros to a multiple of 64 bytes
"""
import struct
import zlib

import numpy as np

TYPES = {np.dtype("<f4"): 0, np.dtype("i1"): 1}


def container(items):
    """The bytes of a container with these (name, array) pairs, in this order."""
    items = [(name.encode(), np.ascontiguousarray(value)) for name, value in items]
    version = 1 if all(value.dtype == np.float32 for _, value in items) else 2
    entry_len = 8 if version == 2 else 7
    table_len = sum(entry_len + len(name) + 4 * value.ndim for name, value in items)
    at = start = -(-(24 + table_len) // 64) * 64
    table, data = b"", []
    for name, value in items:
        table += struct.pack("<H", len(name)) + name
        if version == 2:
            table += struct.pack("<B", TYPES[value.dtype])
        table += struct.pack(f"<B{value.ndim}II", value.ndim, *value.shape, at)
        raw = value.astype(value.dtype.newbyteorder("<")).tobytes()
        raw += bytes(-len(raw) % 64)
        data.append(raw)
        at += len(raw)
    body = struct.pack("<II", at, len(items)) + table
    body += bytes(start - 16 - len(body)) + b"".join(data)
    return b"LKWEIGHT" + struct.pack("<II", version, zlib.crc32(body)) + body
