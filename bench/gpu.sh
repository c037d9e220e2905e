#!/bin/sh
# Everything that wants a GPU, in at most ten minutes, on a machine without network.
#
#   bench/gpu.sh OUT
#
# Needs Python 3.11 or later with torch and transformers, and onnxruntime-gpu, installed or as a wheel
# in build/gpu/wheels (or cut in pieces there, NAME.whl.00, NAME.whl.01, ..., which are put together).
# Writes what it found into the folder OUT: environment.txt, doctor.txt, tests.txt, speed.txt, *.json.
set -u
out=$(mkdir -p "${1:?the folder to write into}" && cd "$1" && pwd)
cd "$(dirname "$0")/.." || exit 1
wheels=build/gpu/wheels
venv=build/gpu/card

for first in "$wheels"/*.whl.00; do
    [ -e "$first" ] && cat "${first%.00}".[0-9][0-9] >"${first%.00}"
done
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv --system-site-packages "$venv" || exit 1
    # A virtual environment made inside another sees the first one's packages by this alone.
    python3 -c 'import site; print("\n".join(site.getsitepackages()))' \
        >"$(echo "$venv"/lib/python3*/site-packages)/outer.pth"
    for wheel in "$wheels"/*.whl; do
        [ -e "$wheel" ] && "$venv/bin/pip" install --quiet --no-deps --no-index "$wheel"
    done
    "$venv/bin/pip" install --quiet --no-deps --no-index --no-build-isolation -e . || exit 1
fi
python=$venv/bin/python
{
    date -u
    nvidia-smi
    "$python" -m pip list
} >"$out/environment.txt" 2>&1
echo "the environment is written down; asking doctor"
timeout 60 "$python" -m refact_edge doctor >"$out/doctor.txt" 2>&1
cat "$out/doctor.txt"
echo "comparing with the CPU"
timeout 240 "$python" -m pytest -q tests/runtime/backends/test_cuda.py tests/runtime/backends/test_gpu.py \
    >"$out/tests.txt" 2>&1
tail -3 "$out/tests.txt"
echo "measuring"
timeout 300 "$python" -m bench.gpu "$out" --rounds 2 >"$out/speed.txt" 2>&1
cat "$out/speed.txt"
