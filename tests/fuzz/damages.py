"""What happens to files of any kind on their way: bits turn, parts are lost, doubled, or overwritten."""


def bits(data, rng):
    changed = bytearray(data)
    for place in rng.integers(0, len(data), int(rng.choice([1, 1, 2, 5, 30]))) if data else ():
        changed[place] ^= 1 << rng.integers(8)
    return bytes(changed)


def cut(data, rng):
    return data[: rng.integers(0, len(data) + 1)]


def hole(data, rng):
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:first] + data[last:]


def zeros(data, rng):
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:first] + bytes(int(last - first)) + data[last:]


def twice(data, rng):
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:last] + data[first:last] * int(rng.choice([1, 2, 50])) + data[last:]


def noise(data, rng):
    place = rng.integers(0, len(data) + 1)
    return data[:place] + rng.bytes(int(rng.choice([1, 3, 100, 5_000]))) + data[place:]


ALL = (bits, cut, hole, zeros, twice, noise)
