#!/usr/bin/env bash
# All that is too long for each run, or the parts that are named: `make nightly ARGS="standard bench-wire"`.
# Each part has a limit in minutes, and its log in .prodtest/nightly; a table ends it. Non-zero if a part failed.
set -uo pipefail
cd "$(dirname "$0")/.."

export PATH="$PWD/.venv/toxiproxy:$PATH"
logs=.prodtest/nightly
mkdir -p "$logs"
table="" failed=0 wanted=" $* "

# part NAME MINUTES COMMAND...
part() {
  local name=$1 minutes=$2 begun=$SECONDS said=pass
  shift 2
  [[ $wanted == "  " || $wanted == *" $name "* ]] || return 0
  printf '== %s (at most %s min)\n' "$name" "$minutes"
  timeout --kill-after=30 "${minutes}m" "$@" >"$logs/$name.log" 2>&1 || said="FAIL $?"
  [ "$said" = pass ] || { failed=1; tail -n 20 "$logs/$name.log"; }
  table+=$(printf '%-18s %-9s %5d s  %s' "$name" "$said" $((SECONDS - begun)) "$(tail -n 1 "$logs/$name.log")")$'\n'
}

part standard 30 make standard ARGS=-q
part standard-lowest 20 make standard-lowest ARGS=-q
part dialects-lowest 20 .venv-lowest/bin/python -m pytest -q tests/standard/test_dialects.py
part fuzz-differential 10 .venv/bin/python tests/toxiproxy/fuzz.py differential --seconds 300 --seed "$RANDOM"
part fuzz-crash 20 .venv/bin/python tests/toxiproxy/fuzz.py crash --inputs 1000000 --seed "$RANDOM"
part kill-loop 30 .venv/bin/python tests/toxiproxy/kill_loop.py --rounds 100 --seed "$RANDOM"
part same-findings 20 .venv/bin/python tests/toxiproxy/same_findings.py
for bench in demo load plugin toxiproxy wire; do
  part "bench-$bench" 20 .venv/bin/python "tests/benchmarks/bench_$bench.py"
done

[ -n "$table" ] || { echo "no such part: $*" >&2; exit 2; }
printf "\n%s" "$table"
exit "$failed"
