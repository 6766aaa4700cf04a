#!/bin/sh
# Trains on the hosts of configs/cluster/hosts. The same command goes on after an interruption.
#   sh configs/cluster/train.mpirun.sh MODEL CAPTIONS STORE RUN [nclip train options]
# On CPUs: DEVICE=cpu, with OMP_NUM_THREADS cores for each rank.
set -eu
model=$1 captions=$2 store=$3 run=$4
shift 4
resume= # the first time there is nothing to go on from
for there in "$run"/last "$run"/last.old; do
    [ ! -e "$there" ] || resume=--resume
done
here=$(dirname "$0")
slots=$(sed -n 's/^[^#].*slots=\([0-9]*\).*/\1/p' "$here/hosts" | awk '{ n += $1 } END { print n }')
# The keepalive lets mpirun notice a host that is cut off: between rank_timeout (15 s), so that nclip
# names the rank first, and 25 s, which nclip waits for it.
exec mpirun --hostfile "$here/hosts" -n "$slots" --bind-to none \
    --mca oob_tcp_keepalive_time 10 --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 5 \
    --mca odls_base_sigkill_timeout 20 \
    -x OMP_NUM_THREADS -x NCCL_DEBUG -x NCCL_SOCKET_IFNAME -x NCCL_IB_HCA \
    nclip train --model "$model" --captions "$captions" --embeddings "$store" --out "$run" \
    --device "${DEVICE:-cuda}" $resume "$@"
