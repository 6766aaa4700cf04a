#!/bin/sh
# NCCL's side of the ranks over an emulated NCCL: results, and the end of a run when NCCL does not
# connect, hangs in an operation or reports an error: aborted, with one message.
set -eu
nclip=$1
folder=$2
programs=$3
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

fail() {
    echo "nccl.sh: $*" >&2
    exit 1
}
for count in 2 3; do
    ranks $count "$programs/ranks_nccl" >out 2>err || fail "$count ranks: $(cat out err)"
    [ "$(cat out)" = "$count ranks agree" ] || fail "$count ranks: $(cat out err)"
done
expect() { # fault, a piece of the one message
    begin=$(date +%s)
    status=0
    EMULATED_NCCL_FAULT=$1 EMULATED_NCCL_RANK=1 ranks 3 "$programs/ranks_nccl" >out 2>err || status=$?
    took=$(($(date +%s) - begin))
    [ $status = 1 ] || fail "$1: exit code $status: $(cat err)"
    [ "$(grep -c '^nclip: ' err)" = 1 ] || fail "$1: not one message: $(cat err)"
    grep -q "^nclip: rank [0-2] on $(uname -n): nccl: $2" err || fail "$1: $(cat err)"
    [ "$(grep -c '^emulated: rank . aborted' err)" -ge 2 ] || fail "$1: not aborted: $(cat err)"
    [ $took -lt 20 ] || fail "$1: took $took s"
}
expect init 'connecting the ranks has not ended for 3 s'
expect stuck 'an all-reduce has not ended for 3 s although this rank'
expect error 'the connection to the other ranks: remote process exited'

# All GPUs in one process, for nclip doctor --check.
for count in 1 2 3 5; do
    EMULATED_GPUS=$count "$programs/ranks_nccl" gpus >out 2>err || fail "$count GPUs: $(cat out err)"
    [ "$(cat out)" = "$count GPUs: right" ] || fail "$count GPUs: $(cat out err)"
done
wrong() { # fault, a piece of the message
    if EMULATED_GPUS=3 EMULATED_NCCL_FAULT=$1 EMULATED_NCCL_RANK=1 "$programs/ranks_nccl" gpus >out 2>err; then
        fail "$1: $(cat out err)"
    fi
    grep -q "^3 GPUs: $2" out || fail "$1: $(cat out err)"
}
wrong sum 'an all-reduce: GPU [0-2] has .* where .* belongs'
wrong error 'an all-reduce: remote process exited'
wrong stuck 'an all-reduce has not ended after 20 s'
if EMULATED_GPUS=0 "$programs/ranks_nccl" gpus >out; then fail "no GPU: $(cat out)"; fi
[ "$(cat out)" = "0 GPUs, left out: there is no GPU" ] || fail "no GPU: $(cat out)"
