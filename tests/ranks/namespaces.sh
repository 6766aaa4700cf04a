#!/bin/sh
# Two hosts, made of network namespaces with a cable between them: two ranks each train as one rank
# does, and end together when one is killed, stops, meets a corrupt shard, or loses the network.
set -eu
nclip=$1
folder=$2
. "$PWD/ranks/shared/ranks.sh"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"

a=nclip-a-$$ b=nclip-b-$$ cable_a=nca$$ cable_b=ncb$$
child=
finish() {
    [ -z "$child" ] || kill -9 "$child" 2>/dev/null || :
    for space in $a $b; do
        for pid in $(ip netns pids $space 2>/dev/null); do
            kill -9 "$pid" 2>/dev/null || :
        done
        ip netns del $space 2>/dev/null || :
    done
}
fail() {
    echo "namespaces.sh: $*" >&2
    exit 1
}
trap finish EXIT
trap 'exit 1' INT TERM
if ! ip netns add $a 2>reason || ! ip netns add $b 2>reason ||
    ! ip link add $cable_a netns $a type veth peer name $cable_b netns $b 2>reason ||
    ! unshare -u true 2>reason; then
    echo "SKIPPED: two hosts cannot be made of network namespaces here (it needs root): $(head -n 1 reason)"
    exit 77
fi
ip -n $a addr add 10.213.77.1/24 dev $cable_a
ip -n $b addr add 10.213.77.2/24 dev $cable_b
for space in $a $b; do
    ip -n $space link set lo up
done
ip -n $a link set $cable_a up
ip -n $b link set $cable_b up
printf '10.213.77.1 slots=2\n10.213.77.2 slots=2\n' >hosts
# What mpirun uses in place of ssh.
cat >agent.sh <<END_OF_SCRIPT
#!/bin/sh
shift
exec ip netns exec $b unshare -u sh -c 'hostname node-b; exec sh -c "\$*"' sh "\$@"
END_OF_SCRIPT
cat >on_a.sh <<END_OF_SCRIPT
exec ip netns exec $a unshare -u sh -c 'hostname node-a; exec "\$@"' sh "\$@"
END_OF_SCRIPT
chmod +x agent.sh
make_inputs

# Without its keepalive mpirun waits for ever for a host that it cannot reach.
two_hosts() { # command
    sh on_a.sh timeout 120 mpirun --hostfile hosts --mca oob_tcp_keepalive_time 10 \
        --mca oob_tcp_keepalive_intvl 2 --mca oob_tcp_keepalive_probes 5 \
        -n 4 --bind-to none --mca plm_rsh_agent "$PWD/agent.sh" -x OMP_NUM_THREADS -x OMP_WAIT_POLICY "$@"
}
settings="--set precision=fp32 --set batch_size=48 --set learning_rate=3e-4 --set warmup_steps=3 --quiet"
train="$nclip train --model $model --captions captions.jsonl"

# ---- The numbers of one rank ----
# shellcheck disable=SC2086
$train --embeddings store --out one $settings --set epochs=3 >/dev/null
# shellcheck disable=SC2086
two_hosts $train --embeddings store --out two $settings --set epochs=3 >/dev/null
agree one two 1e-5

# ---- Failures ----
start() { # run folder, rank 3's store, arguments
    out=$1 other=$2
    shift 2
    cat >each.sh <<END_OF_SCRIPT
store=store
[ "\$OMPI_COMM_WORLD_RANK" != 3 ] || store=$other
exec "\$@" --embeddings \$store
END_OF_SCRIPT
    # shellcheck disable=SC2086
    two_hosts sh each.sh $train --out "$out" $settings --set epochs=400 "$@" \
        >output 2>message &
    child=$!
}
after_a_checkpoint() {
    waited=0
    while [ ! -e "$1/last/training.json" ]; do
        kill -0 $child 2>/dev/null || fail "$1 ended before its first checkpoint: $(cat message)"
        [ $waited -lt 600 ] || fail "$1 writes no checkpoint"
        waited=$((waited + 1))
        sleep 0.1
    done
}
ended() { # rank, host, a piece of the message; `lost` where mpirun may miss the host itself
    begin=$(date +%s)
    status=0
    wait $child || status=$?
    child=
    took=$(($(date +%s) - begin))
    # nclip names the rank, and all its processes end; what becomes the exit code is up to mpirun. Open MPI
    # 5's (PRRTE) says that it lost a host, ends the ranks, and exits with 0.
    if [ $status = 0 ] && [ "${4:-}" = lost ] &&
        grep -q 'PRTE has lost communication with a remote daemon' message; then
        echo "mpirun lost a host, said so, and exits with 0"
        status=1
    fi
    [ $status != 0 ] || fail "$3: exit code 0: $(cat message)"
    [ $took -lt 30 ] || fail "$3: the run ended after $took s"
    [ "$(grep -c '^nclip: ' message)" = 1 ] || fail "$3: not one message: $(cat message)"
    grep -q "^nclip: rank $1 on $2: .*$3" message || fail "$3: $(cat message)"
    echo "rank $1 on $2: $3: ended in $took s"
}
none_left() { # on the host that mpirun may not reach any more, too
    waited=0
    while pgrep -f "train .*--out $1 " >/dev/null; do
        [ $waited -lt 200 ] || fail "$1: processes are left"
        waited=$((waited + 1))
        sleep 0.1
    done
}
one_of_b() { # a rank's process on host b: the last one
    for pid in $(ip netns pids $b); do
        tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q "nclip train" && echo "$pid"
    done | tail -n 1
}

start killed store
after_a_checkpoint killed
kill -KILL "$(one_of_b)"
ended '[23]' node-b 'its process ended without a word'
none_left killed

start stopped store --set rank_timeout=5
after_a_checkpoint stopped
kill -STOP "$(one_of_b)"
ended '[23]' node-b 'no sign of life for 5 s'
none_left stopped

cp -r store bad-store
shard=$(find bad-store -type f -size +4k | head -n 1)
printf '\377\377' | dd of="$shard" bs=1 seek=$(($(wc -c <"$shard") - 100)) conv=notrunc status=none
start corrupt bad-store
ended 3 node-b bad-store
none_left corrupt

start cut store
after_a_checkpoint cut
ip -n $b link set $cable_b down
ended '[23]' node-b 'no sign of life for 15 s' lost # the default
none_left cut
at=$(sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' cut/last/training.json)
[ "$at" -gt 0 ] || fail "cut: no checkpoint"
ip -n $b link set $cable_b up

# With the cable back, the same command with --resume goes on.
epochs=$((at / 3 + 2))
sed -i "s/epochs: 400/epochs: $epochs/" cut/last/training.json
# shellcheck disable=SC2086
two_hosts $train --embeddings store --out cut $settings --set epochs=$epochs --resume >/dev/null
now=$(sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' cut/last/training.json)
[ "$now" -gt "$at" ] || fail "--resume went from $at to $now"
