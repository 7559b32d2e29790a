#!/bin/sh
# A rustc that makes the code it compiles tell libFuzzer where it goes. As the
# wrapper of the workspace's packages only, so that all others are those of any
# other build.
exec "$@" -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
