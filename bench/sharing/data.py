# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is sent: made from a seed, the same bytes on every machine."""
import hashlib
import os
import pathlib
import random

MIB = 1 << 20
SYLLABLES = "ac al arm bit bus cfg clk core cpu dev dma drm ext fs gpio hash i2c init io irq kern lib link map mem mmc net node of page " \
            "pci pin pool port queue reg ring rx sched set snd sock spi stat sync sys task timer tx usb util vfs virt vm wait xfs " \
            "zone".split()
# Of a kernel's source files, roughly.
ENDINGS = [(".c", 38), (".h", 30), (".dts", 6), (".yaml", 6), (".rst", 5), (".S", 2), (".json", 2), (".txt", 2), (".sh", 2), ("", 7)]
MEDIAN, SPREAD, LARGEST = 4600, 1.6, 4 * MIB  # log-normal: the mean is then 16.9 kB, about a kernel tree's


def random_file(path, size, seed):
    r = random.Random(seed)
    with open(path, "wb") as f:
        while size > 0:
            f.write(r.randbytes(min(size, MIB)))
            size -= MIB


def small_files(top, count, size, seed):
    """count files of the same size, a hundred to a folder."""
    r = random.Random(seed)
    for i in range(count):
        if i % 100 == 0:
            folder = pathlib.Path(top) / f"d{i // 100:03}"
            folder.mkdir(parents=True)
        (folder / f"f{i % 100:02}").write_bytes(r.randbytes(size))


def name(r):
    return "-_"[r.random() < 0.5].join(r.sample(SYLLABLES, r.choice((1, 2, 2, 3))))


def source_tree(top, count, seed):
    """Like a kernel's sources: folders within folders, about 14 files each, most of them four to eight deep; sizes log-normal with a
    median of 4.6 kB and a mean of 17, few above 256 KiB; text, so that who compresses gains, but no two blocks alike; 1 in 40
    executable, 1 in 400 empty. No links: some of those measured follow them, some drop them. Returns bytes and the hash of all names
    and contents."""
    r = random.Random(seed)
    words = [w + t for w in SYLLABLES for t in ("", "_", "->", "(", ");\n", " = ", ",\n\t", " {\n", "}\n\n", " /* ", " */\n")]
    pool = "".join(r.choice(words) for _ in range(MIB // 3)).encode()[:MIB]
    folders = [(pathlib.Path(top), 0)]
    taken = {pathlib.Path(top)}
    pathlib.Path(top).mkdir(parents=True)
    while len(folders) < max(1, count // 14):
        parent, depth = r.choice(folders[:40] if r.random() < 0.25 else folders)
        path = parent / name(r)
        if depth < 10 and path not in taken:
            path.mkdir()
            taken.add(path)
            folders.append((path, depth + 1))
    digest, total = hashlib.sha256(), 0
    kinds, weights = zip(*ENDINGS)
    for i in range(count):
        folder = r.choice(folders)[0]
        path = folder / (name(r) + r.choices(kinds, weights)[0])
        if path in taken:
            path = folder / f"{name(r)}{i}{r.choices(kinds, weights)[0]}"
        taken.add(path)
        size = 0 if r.random() < 1 / 400 else min(int(r.lognormvariate(0, SPREAD) * MEDIAN) + 1, LARGEST)
        parts, left = [], size
        while left > 0:
            n, at = min(left, r.randint(2000, 60000)), r.randrange(MIB // 2)
            # a line of its own for every stretch: who looks for equal blocks is not to find any
            parts.append((b"/* %016x */\n" % r.getrandbits(64) + pool[at:at + n])[:n])
            left -= n
        body = b"".join(parts)
        path.write_bytes(body)
        if r.random() < 1 / 40:
            os.chmod(path, 0o755)
        digest.update(str(path.relative_to(top)).encode() + b"\0" + hashlib.sha256(body).digest())
        total += len(body)
    return total, digest.hexdigest()
