# Sourced by the tests of this folder.
#   ranks N COMMAND...     runs it on N ranks of this host
#   make_inputs            pictures, store and captions.jsonl: 8 captions a picture, of all lengths,
#                          half of them with a contradiction
#   agree A B LIMIT        the metrics of two runs: steps, epochs and rates are equal; losses, norms
#                          and scales to a relative difference

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# More ranks than cores, as Open MPI 4 and 5 (whose launcher is PRRTE) are told.
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
export OMPI_MCA_btl=self,vader,tcp
# OpenMPI keeps memory until the end, in plugins that are gone when leaks are counted: in a build with
# sanitizers they cannot be told from ours, so here only the other errors count.
export ASAN_OPTIONS=detect_leaks=0
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive
model=$PWD/../configs/quickstart/model
. "$PWD/cli/shared/pictures.sh"

ranks() {
    count=$1
    shift
    timeout 120 mpirun --bind-to none -n "$count" "$@"
}

make_inputs() {
    draw_pictures pictures
    "$nclip" embed --model "$model" --images pictures --out store >embed.log 2>&1
    for shape in $shapes; do
        for color in $colors; do
            image=$color-$shape
            contrary=black
            [ $color != black ] || contrary=yellow
            while read -r caption; do
                echo "{\"image\": \"$image.png\", \"caption\": \"$caption\"}"
            done <<END
$color $shape
a picture of a $color $shape
there is no $contrary shape in this picture, but a $color one, and it is a $shape
the shape is not $contrary
END
            while read -r caption; do
                echo "{\"image\": \"$image.png\", \"caption\": \"$caption\", \"contradiction\": \"this picture has no $color $shape\"}"
            done <<END
a $shape
this is a $shape of the color $color and not of the color $contrary
one $color shape, no others
it is $color
END
        done
    done >captions.jsonl
}

agree() {
    paste "$1/metrics.jsonl" "$2/metrics.jsonl" | awk -v most="$3" -v names="$1, $2" -F '[{}]' '
    {
        if (split($2, a, ", ") != split($4, b, ", ")) { print names ": other lines"; exit 1 }
        for (i in a) {
            split(a[i], x, ": "); split(b[i], y, ": ")
            if (x[1] != y[1]) { print names ": " $0; exit 1 }
            if (x[1] == "\"captions_per_second\"") continue
            d = x[2] == y[2] ? 0 : (x[2] > y[2] ? x[2] - y[2] : y[2] - x[2]) / x[2]
            if (d > worst) worst = d
            if (d > most) { print names ": " x[1] " of line " NR ": " x[2] " and " y[2]; exit 1 }
        }
    }
    END { if (!NR) exit 1; printf "%s: metrics agree to %.1e\n", names, worst }' || fail "$1 and $2 disagree"
}
