# A training step's nodes, at the depth of ViT-L/14's text tower: a node costs about a microsecond
# beside its work, and a step takes ten thousand.
#   sh nodes.sh BENCH
set -eu
bench=$1
most=300
least=100 # of them that may begin before the one ahead is over: what stands between products
for shared in "" --share-prefixes; do
    said=$("$bench" train --device cuda-emulated --shape deep --batch 4 --steps 1 $shared)
    nodes=$(echo "$said" | sed -n 's/^\([0-9]*\) nodes a step in recorded graphs$/\1/p')
    early=$(echo "$said" | sed -n 's,^\([0-9]*\) of them may begin early$,\1,p')
    [ -n "$nodes" ] || { echo "nodes.sh: no number of nodes in: $said" >&2; exit 1; }
    [ "$nodes" -le $most ] || {
        echo "nodes.sh: $nodes nodes a step${shared:+ with $shared}; $most are allowed" >&2
        echo "$said" | sed -n '/nodes a step/,$p' >&2
        exit 1
    }
    [ "${early:-0}" -ge $least ] || {
        echo "nodes.sh: only ${early:-0} of them may begin early; $least are expected" >&2
        exit 1
    }
    echo "$shared $nodes nodes, $early early"
done
