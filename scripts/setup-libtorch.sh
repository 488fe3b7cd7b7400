#!/usr/bin/env bash
# Makes .libtorch/ in the repository root: the CPU part of libtorch, taken from PyTorch's own wheels.
#
# Needs python3 with pip, and coreutils. Does nothing if the folder is complete, or if LIBTORCH names another libtorch.
# What is half done never counts: everything is unpacked beside the folder and renamed into place at the end.
set -euo pipefail

version=2.13.0 # what the crate `tch` of this workspace wants
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$root/.libtorch

fail() {
    printf 'setup-libtorch: %s\n' "$@" >&2
    exit 1
}

if [[ -n ${LIBTORCH:-} ]]; then
    echo "setup-libtorch: LIBTORCH is set, using $LIBTORCH (it must hold libtorch $version)"
    exit 0
fi
if [[ $(cat "$target/build-version" 2>/dev/null) == "$version" ]]; then
    exit 0
fi

[[ $(uname -s) == Linux ]] ||
    fail "this script knows Linux only; set LIBTORCH to a folder with libtorch $version, then build again"
command -v python3 >/dev/null ||
    fail "python3 is missing; install it with pip, or set LIBTORCH to a folder with libtorch $version"
python3 -m pip --version >/dev/null 2>&1 ||
    fail "python3 has no pip; install it (Debian, Ubuntu: apt install python3-pip), or set LIBTORCH to a folder with libtorch $version"

work=$(mktemp -d "$root/.libtorch-XXXXXX.tmp")
trap 'rm -rf "$work"' EXIT

# The wheel is read, never installed, so any Python's will do: one fixed tag works for users of every Python.
echo "setup-libtorch: fetching libtorch $version (about 540 MB, once)"
fetch() {
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work/wheels" "$@" ||
        fail "pip could not download ${*: -1}" \
            "check the network and pip's settings (python3 -m pip config list), or set LIBTORCH to a folder with libtorch $version"
}
fetch --python-version 3.12 --platform "manylinux_2_28_$(uname -m)" "torch==$version"
# libtorch_cpu.so of this wheel is linked against these two, and starts without a GPU.
fetch 'nvidia-cuda-cupti==13.0.*'
fetch 'nvidia-cuda-runtime==13.0.*'

echo "setup-libtorch: unpacking"
python3 - "$work" <<'PYTHON' || fail "the wheels do not hold what was expected (is the disk full?)"
import pathlib, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
tree = work / "libtorch"
wanted = {"libtorch_cpu.so", "libc10.so", "libgomp.so.1", "libcupti.so.13", "libcudart.so.13"}
found = set()

for wheel in (work / "wheels").glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = pathlib.PurePosixPath(name)
            if path.is_relative_to("torch/include") and not name.endswith("/"):
                target = tree / path.relative_to("torch")
            elif path.parent.name == "lib" and path.name in wanted:
                target = tree / "lib" / path.name
                found.add(path.name)
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, open(target, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)

if found != wanted or not (tree / "include/torch/csrc/api/include/torch/torch.h").exists():
    sys.exit(f"missing: {sorted(wanted - found) or 'the header files'}")

# `-ltorch` is how programs ask for libtorch; the real file would ask for the GPU part too.
(tree / "lib/libtorch.so").write_text("INPUT(-ltorch_cpu)\n")
PYTHON
echo "$version" >"$work/libtorch/build-version"

rm -rf "$target"
mv -T "$work/libtorch" "$target"
echo "setup-libtorch: done"
