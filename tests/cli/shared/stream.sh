# Sourced by tests of streamed training, behind pictures.sh. Wants $nclip and $model.
#   make_stream     many.store (24 shards, which are as many blocks), many.jsonl (1,536 captions of 192
#                   pictures, in another order than the store's) and many.set, prepared of both.
#   stream_pool     pool_bytes with which it takes several groups an epoch

stream_pool=200000

make_stream() {
    draw_pictures few
    write_captions few.jsonl
    mkdir many
    for number in 1 2 3 4 5 6 7 8; do
        for file in few/*.png; do
            cp "$file" "many/$number-$(basename "$file")"
        done
        sed "s/\"image\": \"/\"image\": \"$number-/" few.jsonl
    done | awk '{ line[NR % 7, ++count[NR % 7]] = $0 }
        END { for (k = 0; k < 7; k++) for (i = 1; i <= count[k]; i++) print line[k, i] }' >many.jsonl
    (cd many && ls) | split -l 8 - list.
    for list in list.*; do # each call writes a shard
        mv "$list" many/list
        "$nclip" embed --model "$model" --images many/list --out many.store >embed.log 2>&1
    done
    "$nclip" prepare --captions many.jsonl --embeddings many.store --model "$model" --out many.set \
        --quiet >prepare.log 2>&1
}
