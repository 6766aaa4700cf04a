#!/bin/sh
# configs/cluster/train-cpu.sbatch under a real SLURM: a cluster of four nodes on this machine, in
# name spaces of its own, so that no port, process or host name of it is seen outside and all of it
# is gone when the test is. sbatch and srun train as one rank does; the warning before the end of
# the time, scancel, a requeue and a killed rank leave a checkpoint, from which the job goes on.
set -eu
nclip=$1
folder=$2

skip() {
    echo "SKIPPED: $*"
    exit 77
}
cluster=${NCLIP_SLURM_CLUSTER:-}
if [ -z "$cluster" ]; then
    for program in slurmctld slurmd sbatch srun scancel scontrol squeue munged ip unshare; do
        PATH=$PATH:/usr/sbin:/sbin command -v $program >/dev/null ||
            skip "$program is not here (Debian: slurmctld, slurmd, slurm-client, munge, iproute2)"
    done
    [ "$(id -u)" -eq 0 ] || skip "a cluster of one's own can only be started by root"
    apart="unshare --net --uts --ipc --mount --pid --fork --kill-child --mount-proc"
    $apart true 2>/dev/null || skip "name spaces cannot be made here"
    cluster=$(mktemp -d /tmp/nclip-slurm.XXXXXX) # a short path: sockets lie in it
    trap 'rm -rf "$cluster"' EXIT
    trap 'exit 1' INT TERM
    status=0
    NCLIP_SLURM_CLUSTER=$cluster timeout --kill-after=10 540 $apart sh "$0" "$@" || status=$?
    [ $status -ne 124 ] || echo "slurm.sh: not done after 540 s" >&2
    exit $status
fi
PATH=$PATH:/usr/sbin:/sbin

. "$PWD/ranks/shared/ranks.sh"
export OMPI_MCA_mpi_yield_when_idle=1 # more ranks than cores, which mpirun would see and srun does not
batch=$PWD/../configs/cluster/train-cpu.sbatch
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"
finish() { # what runs ends with this process, the first of its name space
    status=$?
    [ $status -eq 0 ] || [ $status -eq 77 ] ||
        tail -n 20 "$cluster"/slurmctld.log "$cluster"/node-1.log >&2 2>/dev/null || :
}
trap finish EXIT
trap 'exit 1' INT TERM
fail() {
    echo "slurm.sh: $*" >&2
    exit 1
}
wait_for() { # seconds, what for, condition...
    tries=$(($1 * 10)) what=$2
    shift 2
    while ! "$@" >/dev/null 2>&1; do
        [ $tries -gt 0 ] || fail "$what: not within the time"
        tries=$((tries - 1))
        sleep 0.1
    done
}

# ---- The cluster -----------------------------------------------------------------------

# A network of their own: MPI takes two nodes with one address for one that is confused.
mount -t tmpfs shm /dev/shm # of all its nodes, whose names differ
ip link set lo up
ip link add switch type bridge
ip addr add 10.213.78.100/24 dev switch
ip link set switch up
hostname controller

head -c 1024 /dev/urandom >"$cluster/munge.key"
chmod 400 "$cluster/munge.key"
mkdir "$cluster/state" "$cluster/spool" "$cluster/tmp"
export SLURM_CONF="$cluster/slurm.conf"
cat >"$SLURM_CONF" <<END
ClusterName=nclip
SlurmctldHost=controller(10.213.78.100)
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# a job is started again only when what it was started with first has expired
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool/%n
TmpFS=$cluster/tmp/%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/%n.log
SlurmctldPort=6817
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MailProg=/bin/true
SlurmdPort=6818
NodeName=node-[1-4] NodeAddr=10.213.78.[1-4] Sockets=2 CoresPerSocket=1 ThreadsPerCore=1
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
if [ "$(slurmctld -V | sed 's/[^0-9]*\([0-9]*\).*/\1/')" -ge 23 ]; then # older ones know no such name
    echo 'CgroupPlugin=disabled' >"$cluster/cgroup.conf"
fi
srun --mpi=list 2>&1 | grep -qw pmix || skip "this SLURM was built without PMIx"
munged --foreground --force --key-file="$cluster/munge.key" --socket="$cluster/munge.socket" \
    --pid-file="$cluster/munged.pid" --seed-file="$cluster/seed" >"$cluster/munged.log" 2>&1 &
wait_for 10 "munged's socket" test -S "$cluster/munge.socket"
slurmctld -D >"$cluster/slurmctld.out" 2>&1 &
cat >"$cluster/node.sh" <<'END'
echo >"$2/node-$1.apart" # in a name space of its own
until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
hostname "node-$1"
ip link set lo up
ip addr add "10.213.78.$1/24" dev eth0
ip link set eth0 up
exec slurmd -D
END
for number in 1 2 3 4; do
    mkdir "$cluster/spool/node-$number" "$cluster/tmp/node-$number"
    unshare --net --uts sh "$cluster/node.sh" $number "$cluster" >"$cluster/node-$number.out" 2>&1 &
    node=$!
    wait_for 10 "node $number" test -e "$cluster/node-$number.apart"
    ip link add port$number type veth peer name eth0 netns $node
    ip link set port$number master switch up
done
all_idle() {
    [ "$(sinfo --noheader --Node --format=%t | grep -cx idle)" = 4 ]
}
wait_for 20 "four idle nodes" all_idle
echo "$(slurmctld -V): four nodes"

# ---- The numbers of one rank -----------------------------------------------------------

make_inputs
cp "$nclip" nclip # the script takes the one that is found
PATH=$folder:$PATH
settings="--set precision=fp32 --set batch_size=48 --set learning_rate=3e-4 --set warmup_steps=3 --quiet"

submit() { # run folder, epochs, options of sbatch...: sets job
    run=$1 epochs=$2
    shift 2
    # shellcheck disable=SC2086
    job=$(sbatch --parsable --cpus-per-task=1 --time=10 --output="$run.out" "$@" "$batch" \
        "$model" captions.jsonl store "$run" $settings --set epochs="$epochs")
}
state() {
    squeue --noheader --states=all --jobs "$job" --format=%T
}
is_over() {
    case $(state) in COMPLETED | FAILED | CANCELLED | TIMEOUT | NODE_FAIL) ;; *) false ;; esac
}
ends_as() { # state, seconds
    wait_for "$2" "job $job, $run" is_over
    [ "$(state)" = "$1" ] || fail "$run: $(state), expected $1: $(cat "$run.out")"
}
step_of() {
    sed -n 's/.*"step":[^0-9]*\([0-9]*\),.*/\1/p' "$1/last/training.json"
}
begun() { # its first checkpoint is there
    wait_for 90 "a checkpoint of $run" test -e "$run/last/training.json"
}
shorten() { # its time is over at the next full minute
    minutes=$(squeue --noheader --jobs "$job" --format=%M | sed 's/:.*//')
    scontrol update JobId="$job" TimeLimit=$((${minutes#0} + 1))
}
# What a run says that was told to stop, and its checkpoint is of the last step that its metrics know.
stopped_well() {
    at=$(step_of "$run")
    grep -q "^nclip: stopped by a signal after step $at; the checkpoint is in $run/last" "$run.out" ||
        fail "$run: $(cat "$run.out")"
    [ "$(tail -n 1 "$run/metrics.jsonl" | sed 's/.*"step": \([0-9]*\),.*/\1/')" = "$at" ] ||
        fail "$run: the checkpoint is of step $at, the metrics end with $(tail -n 1 "$run/metrics.jsonl")"
}

# shellcheck disable=SC2086
./nclip train --model "$model" --captions captions.jsonl --embeddings store --out one $settings \
    --set epochs=3 >/dev/null
submit eight 3
ends_as COMPLETED 60
agree one eight 1e-5

# ---- Being told to end ------------------------------------------------------------------

# What it takes to reach the end of its time runs beside the rest.
submit over 20000 --nodes=1 --signal=CONT@10 # a warning that says nothing
over=$job

# The warning before the end (--signal), which SLURM sends within a minute of its time.
submit warned 20000 --nodes=2 --signal=TERM@50
begun
shorten
ends_as FAILED 75
stopped_well

submit told 20000 --nodes=2
begun
scancel --signal=TERM "$job"
ends_as FAILED 30
stopped_well

# Without a signal scancel ends the job, and SIGTERM comes twice: to the ranks, and from srun, which
# gets it as well.
submit cancelled 20000 --nodes=2
begun
scancel "$job"
ends_as CANCELLED 30
stopped_well

# ---- Going on ---------------------------------------------------------------------------

# Into the queue again: the same job writes a checkpoint, starts once more, and ends as if nothing
# had happened.
submit requeued 40 --nodes=2
begun
scontrol requeue "$job"
ends_as COMPLETED 60
scontrol show job "$job" | grep -q 'Restarts=1 ' || fail "requeued: it was over before"
grep -q '^nclip: stopped by a signal after step' requeued.out || fail "requeued: $(cat requeued.out)"
# shellcheck disable=SC2086
./nclip train --model "$model" --captions captions.jsonl --embeddings store --out unbroken $settings \
    --set epochs=40 >/dev/null
agree unbroken requeued 1e-4

# ---- A rank that dies ends the job ---------------------------------------------------------

submit killed 20000 --nodes=2
begun
victim=$(pgrep -f "train .*--out killed " | tail -n 1)
kill -KILL "$victim"
ends_as FAILED 30
[ "$(grep -c '^nclip: ' killed.out)" = 1 ] || fail "killed: not one message: $(cat killed.out)"
grep -q '^nclip: rank [0-3] on node-[1-4]: its process ended without a word' killed.out ||
    fail "killed: $(cat killed.out)"
at=$(step_of killed)
[ "$at" -gt 0 ] || fail "killed: no checkpoint"

# ---- The end of the time itself: SIGTERM, and SIGKILL only KillWait later ------------------

run=over job=$over
begun
shorten
ends_as TIMEOUT 120
stopped_well
