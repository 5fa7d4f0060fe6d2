# SPDX-License-Identifier: Apache-2.0
"""image.py IMPORTER [--pairs N] [--mib N]: an OCI layout to an EROFS image, casemate-import beside umoci unpack and mkfs.erofs.

The layout has three layers, gzip as registries have them: files from 1 KiB to 4 MiB whose bytes shrink to about half, as
programs' do; the later layers replace and remove some. The same input for both, by turns; both write to the same file
system, and the time ends when the image's bytes have been handed to the kernel. Ours hashes the image too.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

KINDS = "application/vnd.oci.image."


def content(rng, size):
    return b"".join(rng.randbytes(64) + bytes(64) for _ in range(size // 128 + 1))[:size]


def layer(rng, mib, name, remove):
    out = io.BytesIO()
    left = mib << 20
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=1, mtime=0) as zipped, tarfile.open(fileobj=zipped, mode="w|") as tar:
        number = 0
        while left > 0:
            size = min(left, int(2 ** rng.uniform(10, 22)))
            info = tarfile.TarInfo(f"usr/{name}/{number % 97}/file-{number}")
            info.size = size
            tar.addfile(info, io.BytesIO(content(rng, size)))
            left -= size
            number += 1
        for gone in remove:
            path, _, base = gone.rpartition("/")
            tar.addfile(tarfile.TarInfo(f"{path}/.wh.{base}"))
    return out.getvalue()


def layout(path, mib):
    rng = random.Random(1)
    os.makedirs(f"{path}/blobs/sha256")

    def blob(data, kind):
        digest = hashlib.sha256(data).hexdigest()
        with open(f"{path}/blobs/sha256/{digest}", "wb") as file:
            file.write(data)
        return {"mediaType": KINDS + kind, "digest": f"sha256:{digest}", "size": len(data)}

    layers = [layer(rng, mib * 6 // 10, "base", []), layer(rng, mib * 3 // 10, "more", [f"usr/base/{i}" for i in range(3)]),
              layer(rng, mib // 10, "base", [])]
    diffs = ["sha256:" + hashlib.sha256(gzip.decompress(data)).hexdigest() for data in layers]
    config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode(),
                  "config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "mediaType": KINDS + "manifest.v1+json", "config": config,
                                "layers": [blob(data, "layer.v1.tar+gzip") for data in layers]}).encode(), "manifest.v1+json")
    manifest["annotations"] = {"org.opencontainers.image.ref.name": "bench"}
    for name, value in (("index.json", {"schemaVersion": 2, "manifests": [manifest]}), ("oci-layout", {"imageLayoutVersion": "1.0.0"})):
        with open(f"{path}/{name}", "w", encoding="ascii") as file:
            json.dump(value, file)


def cpu():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def timed(run):
    """Seconds by the clock, and of CPU."""
    began, spent = time.monotonic(), cpu()
    run()
    return time.monotonic() - began, cpu() - spent


def ours(importer, source, work):
    with open(f"{work}/ours.erofs", "w+b") as image:
        archive = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
        actions = [(os.POSIX_SPAWN_DUP2, archive, 10), (os.POSIX_SPAWN_DUP2, image.fileno(), 11),
                   (os.POSIX_SPAWN_DUP2, 10, 3), (os.POSIX_SPAWN_DUP2, 11, 4),
                   (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)]
        pid = os.posix_spawn(importer, [importer], {}, file_actions=actions)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(archive)
        if status != 0:
            sys.exit(f"bench: {importer} ended with {status}")


def peer(source, work):
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    subprocess.run(["umoci", "unpack", *rootless, "--image", f"{source}:bench", f"{work}/bundle"], check=True, capture_output=True)
    subprocess.run(["mkfs.erofs", "-E", "noinline_data", f"{work}/peer.erofs", f"{work}/bundle/rootfs"], check=True, capture_output=True)


def row(name, mine, others, where):
    def at(values, part):
        return round(sorted(values)[min(len(values) - 1, int(len(values) * part))], 3)
    print(json.dumps({"bench": "image", "name": name, "unit": "s", "p50": at(mine, 0.5), "p99": at(mine, 0.99), "n": len(mine),
                      "peer": "umoci+mkfs", "peer_p50": at(others, 0.5), "peer_p99": at(others, 0.99),
                      "ratio": round(at(mine, 0.5) / at(others, 0.5), 3), "where": where}), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("importer")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=500)
    args = parser.parse_args()
    work = tempfile.mkdtemp(prefix="casemate-bench-image.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        # So that nobody else's rights are needed to read it: the importer gives its own up.
        os.chmod(work, 0o755)
        source = f"{work}/layout"
        layout(source, args.mib)
        mine, others = [], []
        for _ in range(args.pairs):
            mine.append(timed(lambda: ours(args.importer, source, work)))
            others.append(timed(lambda: peer(source, work)))
            shutil.rmtree(f"{work}/bundle")
        for i, name in enumerate(("import", "import_cpu")):
            row(f"{name}_{args.mib}m", [t[i] for t in mine], [t[i] for t in others], "native")
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
