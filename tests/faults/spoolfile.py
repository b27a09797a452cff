"""Reads the spool's segments as server/spool/spool_record.h describes them: which events are on disk. A reading of its own,
so that a mistake of the spool's reader is not repeated here."""
import os
import struct

HEADER = 16
EVENT = 1


def segments(directory):
    """Paths of the segments, oldest first."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [os.path.join(directory, n) for n in sorted(names) if n.endswith(".seg")]


def records(data):
    """(offset, end, type, payload) of each whole record; stops at the first that is cut short or senseless."""
    at = HEADER
    while at + 9 <= len(data):
        length = struct.unpack_from("<I", data, at)[0]
        end = at + 8 + length
        if length < 1 or length > 16384 or end > len(data):
            return
        yield at, end, data[at + 8], data[at + 9:end]
        at = end


def event_ids(directory):
    """Ids of the events that are on disk. The directory may be in use: a segment may go meanwhile."""
    ids = set()
    for path in segments(directory):
        try:
            with open(path, "rb") as f:
                data = f.read()
        except FileNotFoundError:
            continue
        ids.update(struct.unpack_from("<q", payload)[0] for _, _, kind, payload in records(data) if kind == EVENT)
    return ids


def lose_power(directory, existed, synced, rng):
    """What a power loss may leave: segments that came after `existed` was noted are gone; of those in `synced` (name ->
    bytes) only that much is sure, the rest is cut off, or turned into zeros. Returns what was done, for the log."""
    done = []
    for path in segments(directory):
        name = os.path.basename(path)
        if name not in existed:
            os.unlink(path)
            done.append(f"{name} gone")
            continue
        size = os.path.getsize(path)
        keep = min(synced.get(name, size), size)
        if keep == size:
            continue
        if rng.random() < 0.5:
            os.truncate(path, keep)
            done.append(f"{name} cut from {size} to {keep}")
        else:
            with open(path, "r+b") as f:
                f.seek(keep)
                f.write(bytes(size - keep))
            done.append(f"{name} zeros from {keep} to {size}")
    return done
