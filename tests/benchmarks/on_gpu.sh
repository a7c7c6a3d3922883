#!/usr/bin/env bash
# What only a GPU can tell, in one call of under ten minutes: the tests that are skipped without
# one, `bench throughput --device cuda`, and the comparison with CompressAI and the CPU.
#
#   bash tests/benchmarks/on_gpu.sh DATA OUT     # DATA holds kodak/; OUT gets logs and results
#
# Steps are guarded: each has a time limit and a log of its own, and one that fails costs the
# others nothing; the exit code is the number of those that failed.
# DEVICE=cpu IMAGES=1 is the dry run without a GPU.
set -u
data=$(realpath "$1") out=$(mkdir -p "$2" && realpath "$2")
device=${DEVICE:-cuda} images=${IMAGES:-24} failed=0
cd "$(dirname "$0")/../.."
export BENCH_DATA=$data PYTHONUNBUFFERED=1
batches=1,4,8,24 check=()
if [ "$device" = cpu ]; then
  export TRITON_INTERPRET=1
  batches=1 check=(--device cpu --crop 32)
fi

step() { # NAME SECONDS COMMAND...
  local name=$1 limit=$2 begun=$SECONDS code=0
  shift 2
  timeout "$limit" "$@" >"$out/$name.log" 2>&1 || code=$?
  echo "== $name: exit code $code after $((SECONDS - begun)) s"
  tail -n 25 "$out/$name.log"
  [ $code = 0 ] || failed=$((failed + 1))
}

step throughput 240 python3 -m bench throughput -d kodak -c agvae --images "$images" \
  --device "$device" --batch "$batches" --allow-busy --out "$out/throughput"
step gpu_check 150 python3 tests/benchmarks/gpu_check.py \
  --data "$data/kodak" --out "$out" "${check[@]}"
step tests 180 python3 -m pytest -q -p no:cacheprovider \
  tests/codecs/agvae/test_gpu_codec.py tests/codecs/agvae/test_gpu_rans.py \
  tests/codecs/agvae/test_entropy_networks.py tests/codecs/agvae/training/test_run.py -k 'cuda or gpu or fused'
exit $failed
