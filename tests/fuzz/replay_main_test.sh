#!/bin/bash
# replay_main must find a crash that one token away hides, keep the input,
# do the same again from its seed, and refuse what would test nothing.
set -u
fuzz=$PWD/tests/fuzz/crash_fuzz
cd "$TEST_TMPDIR" || exit 1
unset TEST_UNDECLARED_OUTPUTS_DIR
failures=0

check() {  # check NAME CONDITION...: the condition is a command.
  if "${@:2}"; then echo "ok: $1"; else echo "FAILED: $1"; cat out; failures=$((failures + 1)); fi
}
run() { rm -f crash-*; "$fuzz" "$@" >out 2>&1; code=$?; }

mkdir -p corpus/deep empty
printf 'ssssssss' >corpus/deep/one
printf 'tttttttt' >corpus/two
printf '# a comment\nboom="BO\\x4fM!"\n' >dict

run --seconds=0 corpus
check "a corpus without a crash passes" test $code -eq 0
check "it says how many ran" grep -q '^fuzz: 2 runs, nothing found$' out
check "it prints its seed" grep -Eq '^fuzz: seed [0-9]+, 2 inputs in the corpus, 0 tokens$' out

run --seconds=60 --seed=1 --dict dict corpus
check "it finds the crash by a token of the dictionary" test $code -ge 128
check "it dumps the input as hex" grep -q '424f4f4d21' out
check "it keeps the input" grep -q 'BOOM!' crash-*
cp crash-* kept; cp out first
run --seconds=60 --seed=1 --dict=dict corpus
check "the same seed finds the same input" cmp -s kept crash-*

printf 'sBOOM!' >segv; run --seconds=0 segv
check "a crash by SIGSEGV in the corpus ends by that signal" test $code -eq 139
check "it is dumped: 6 bytes" grep -q '6 bytes, as hex:$' out
printf 'aBOOM!' >abrt; run --seconds=0 abrt
check "a crash by abort ends by that signal" test $code -eq 134
check "it is dumped by its bytes" grep -q '^61424f4f4d21$' out

run empty
check "an empty corpus folder is refused" test $code -eq 2
run nowhere
check "a corpus that is not there is refused" test $code -eq 2
run --dict empty/none corpus
check "a dictionary that is not there is refused" test $code -eq 2
run --seconds x corpus
check "a flag that is no number is refused" test $code -eq 2
run --speed 3 corpus
check "an unknown flag is refused" test $code -eq 2
exit $((failures > 0))
