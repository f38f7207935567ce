# Sourced by the scripts that measure transforms, with `here` set: makes what
# is missing, and sets WEIR_BENCH_TPCHGEN, WEIR_BENCH_BINARY and `python`.

bench=${XDG_CACHE_HOME:-$HOME/.cache}/weir/bench
if [ ! -x "$bench/bin/tpchgen-cli" ]; then
    python3 -m venv "$bench"
    "$bench/bin/python" -m pip --quiet --disable-pip-version-check install pyarrow==26.0.1 tpchgen-cli==4.0.0
fi
WEIR_BENCH_TPCHGEN=$bench/bin/tpchgen-cli
export WEIR_BENCH_TPCHGEN
if [ -z "${WEIR_BENCH_BINARY:-}" ]; then
    cd "$here"
    cargo build --locked --release -p weir
    target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
    WEIR_BENCH_BINARY=$target/release/weir
fi
export WEIR_BENCH_BINARY
python=$("$here/scripts/reference-python")
