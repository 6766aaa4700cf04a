#!/bin/sh
# Writes the inputs that a harness starts from, made from files of the other tests and from a few
# lines here: what each parser is for, in small.
#   sh seeds.sh NAME FOLDER     run in tests/
set -eu
name=$1
folder=$2
rm -rf "$folder"
mkdir -p "$folder"

# The byte that chooses (octal, or "" where there is none), then standard input. The number is that of
# the files there: behind a pipe a variable would count for nobody else.
seed() {
    number=$(($(ls "$folder" | wc -l) + 1))
    { [ -z "$1" ] || printf "\\$1"; cat; } >"$folder/$number"
}
files() { # choosing byte, files: those of at most 64 KiB
    byte=$1
    shift
    for file in "$@"; do
        [ -f "$file" ] && [ "$(wc -c <"$file")" -le 65536 ] && seed "$byte" <"$file"
    done
    return 0
}
cut_line() { echo '--8<--'; }
little() { # a number as 8 bytes, the lowest first
    rest=$1
    for _ in 1 2 3 4 5 6 7 8; do
        printf "\\$(printf %03o $((rest % 256)))"
        rest=$((rest / 256))
    done
}
safetensors() { # header; then as many zeros as bytes of data
    little ${#1}
    printf %s "$1"
    head -c "$2" /dev/zero
}

case $name in
pictures)
    files 000 pictures/images/*.jpg pictures/images/*.png pictures/images/*.webp
    files 005 pictures/images/*.png
    files 003 pictures/images/*alpha* pictures/images/*key* pictures/images/rgba*.png
    printf 'GIF89a......' | seed 000
    ;;
picture_sources)
    printf 'a.jpg\nsub/b.png\n\n' | seed ""
    (cd pictures/images && tar cf - --format=ustar 1x1.jpg bit.png) | seed ""
    (cd pictures/images && tar cf - --format=pax --pax-option=path:=deep/1x1.jpg 1x1.jpg) | seed ""
    (cd pictures/images && tar cf - --format=gnu --transform "s,^,$(printf %0120d 0)/," bit.png) | seed ""
    files "" pictures/images/2x2.jpg
    ;;
safetensors)
    safetensors '{"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]},"__metadata__":{"format":"pt"}}' 22 | seed 000
    safetensors '{"x":{"dtype":"I64","shape":[],"data_offsets":[0,8]}}  ' 8 | seed 000
    safetensors '{}' 0 | seed 000
    {
        printf '{"metadata":{"total_size":8},"weight_map":{"x":"model-1.safetensors"}}'
        cut_line
        safetensors '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}' 8
    } | seed 001
    ;;
model)
    files 000 checkpoints/golden_model/*/config.json ../configs/quickstart/model/config.json
    files 001 ../configs/quickstart/model/preprocessor_config.json
    printf '{"size": 64, "default_to_square": true, "crop_size": [224, 224], "image_mean": 0.5, "transparency": "white"}' | seed 001
    printf '{"image_processor": {"size": {"height": 224, "width": 224}, "do_center_crop": false}}' | seed 002
    files 003 checkpoints/open_clip/*/open_clip_config.json
    ;;
tokenizer)
    printf '{"version":"1.0","added_tokens":[{"id":5,"content":"<|startoftext|>","special":true},{"id":6,"content":"<|endoftext|>","special":true}],"normalizer":null,"model":{"type":"BPE","end_of_word_suffix":"</w>","unk_token":"<|endoftext|>","vocab":{"a":0,"a</w>":1,"b":2,"b</w>":3,"ab</w>":4,"<|startoftext|>":5,"<|endoftext|>":6},"merges":["a b</w>"]}}' | seed 000
    {
        printf '{"a":0,"a</w>":1,"b":2,"b</w>":3,"ab</w>":4,"<|startoftext|>":5,"<|endoftext|>":6}\n'
        cut_line
        printf '#version: 0.2\na b</w>\n'
        cut_line
        printf '{"<x>":7}'
    } | seed 001
    files 002 tokenizer/golden_tokenizer/bpe.txt.gz
    for text in 'a photo of a cat, with no dogs' 'caf\303\251 &amp; \360\237\220\261 isn\342\200\231t' '\377\376 <|endoftext|> 12 3.5'; do
        printf "$text" | seed 003
        printf "$text" | seed 007
    done
    ;;
pieces)
    files 000 tokenizer/golden_pieces/*/tokenizer.json
    files 001 tokenizer/golden_pieces/siglip/spiece.model
    {
        cat tokenizer/golden_pieces/gemma/tokenizer.model
        cut_line
        cat tokenizer/golden_pieces/gemma/tokenizer_config.json
    } | seed 002
    # Small ones, which are soon read.
    printf '{"added_tokens":[{"id":1,"content":"</s>","rstrip":true}],"normalizer":{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"NFC"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Replace","pattern":{"Regex":" {2,}"},"content":" "}]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"\342\226\201","prepend_scheme":"always"}]},"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"</s>"}}]},"model":{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["</s>",0],["\342\226\201",-2],["\342\226\201a",-3],["cat",-4.5],["<0xC3>",-9]]}}' | seed 000
    printf '{"normalizer":{"type":"Prepend","prepend":"\342\226\201"},"pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},"model":{"type":"BPE","unk_token":"<unk>","fuse_unk":true,"byte_fallback":true,"vocab":{"<unk>":0,"a":1,"t":2,"at":3,"c":4,"cat":5},"merges":["a t",["c","at"]]}}' | seed 000
    for clean in whitespace canonicalize; do
        {
            cat tokenizer/golden_open_clip_text/gemma/tokenizer.json
            cut_line
            printf '{"tokenizer_class":"GemmaTokenizer","pad_token":"<pad>","add_eos_token":true}'
            cut_line
            printf '{"model_cfg":{"text_cfg":{"hf_tokenizer_name":"x","tokenizer_kwargs":{"clean":"%s"}}}}' $clean
        } | seed 000
    done
    for byte in 003 004 005 006 007 010; do
        printf 'a photo of a cat, with no dogs' | seed $byte
        printf 'caf\303\251 \342\226\201 \360\237\220\261  <mask> </s>\377' | seed $byte
    done
    ;;
identify)
    head_of() { # of a safetensors file, its header
        tail -c +9 "$1" | head -c "$(od -An -tu8 -N8 "$1" | tr -d ' ')"
    }
    for name in worldwide clipa open_clip_siglip2 longclip; do
        {
            head_of model/families/$name/open_clip_model.safetensors
            cut_line
            cat model/families/$name/open_clip_config.json
        } | seed 000
    done
    for name in siglip2 metaclip_2; do
        {
            head_of model/families/$name/model.safetensors
            cut_line
            cat model/families/$name/config.json
            cut_line
            printf '{"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1]]}}'
        } | seed 001
    done
    files 002 model/families/*/open_clip_config.json model/families/*/config.json
    ;;
pytorch)
    files 000 checkpoints/pytorch/*.pt checkpoints/pytorch/a.bin
    {
        printf '{"metadata":{"total_size":8},"weight_map":{"x":"pytorch_model-1.bin"}}'
        cut_line
        cat checkpoints/pytorch/a.bin
    } | seed 001
    # {'x': a tensor of 2 x 3 fp32 numbers in storage 0}, and a state dict around it
    tensor() {
        printf 'ctorch._utils\n_rebuild_tensor_v2\n((X\007\000\000\000storagectorch\nFloatStorage\nX\001\000\000\0000X\003\000\000\000cpuK\006tQK\000K\002K\003\206K\003K\001\206\211ccollections\nOrderedDict\n)RtR'
    }
    { printf '\200\002}X\001\000\000\000x' && tensor && printf 's.'; } | seed 002
    { printf '\200\002}X\012\000\000\000state_dict}(X\010\000\000\000module.x' && tensor && printf 'us.'; } | seed 002
    ;;
store)
    # Version 1: a map of the header's members, padded to 4096 bytes; two rows of two fp32; keys; a checksum.
    {
        {
            printf '\213\246format\260nclip embeddings\247version\001'
            printf '\252model_hash\2600123456789abcdef\255preprocessing\243rgb'
            printf '\251dimension\002\254element_type\244fp32\252normalized\303\244rows\002'
            printf '\253rows_offset\315\020\000\253keys_offset\315\020\020\252keys_bytes\005'
            head -c 4096 /dev/zero
        } | head -c 4096
        printf '\000\000\200\077\000\000\000\000\000\000\000\000\000\000\200\077'
        printf '\222\241a\241b12345678'
    } | seed ""
    # Version 2: a map, sums (which the harness makes fit) at byte 256, rows, ends and text of keys.
    {
        {
            {
                printf '\215\246format\260nclip embeddings\247version\002'
                printf '\252model_hash\2600123456789abcdef\255preprocessing\243rgb'
                printf '\251dimension\002\254element_type\244fp32\252normalized\303\244rows\002'
                printf '\252block_rows\316\000\002\000\000\253sums_offset\315\001\000'
                printf '\253rows_offset\315\020\000\253keys_offset\315\020\020\252keys_bytes\024'
                head -c 4096 /dev/zero
            } | head -c 4096
            printf '\000\000\200\077\000\000\000\000\000\000\000\000\000\000\200\077'
            little 2
            little 4
            printf 'a\000b\000'
        } >"$folder.shard"
        cat "$folder.shard"
    } | seed ""
    {
        cat "$folder.shard"
        cut_line
        printf '{"key":"c","reason":"cut"}\n'
        cut_line
        little 1
        little 0
        little 2
        little 1
        little 2
        little 0
    } | seed ""
    rm "$folder.shard"
    ;;
captions)
    printf '{"image": "a.jpg", "caption": "a cat", "contradiction": "no cat", "distractor": "b.jpg"}\n{"image": "b.jpg", "caption": "two \\u00e9t\\u00e9s"}\n' | seed ""
    printf '{"images": [{"id": 1, "file_name": "a.jpg"}, {"id": "2", "file_name": "b.jpg"}], "annotations": [{"id": 3, "image_id": 1, "caption": "x", "updated_caption": null}, {"image_id": 2, "caption": "y", "distractor_id": 1}]}' | seed ""
    head -c 2000 generate/recorded/captions.jsonl | seed ""
    printf '\n{"image": "a.jpg", "caption": "a", "original": "b", "absence": "no c", "paraphrase": null, "choices": ["d", "e"]}\r\n \r{"image": "b", "caption": ""}' | seed ""
    printf '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "x", "updated_caption": "y", "absence": "z", "choices": []}]}' | seed ""
    ;;
set)
    # set.json, then a shard of one block: a map, at byte 256 a table (whose sums the harness makes
    # fit), heads and body of two examples at multiples of 4096.
    for role in 1 3; do # captions alone; captions, a contradiction and a distractor
        {
            more='' texts=2 tokens=5 row='\000' with=0 heads=30 body=10 distractors=false
            [ $role = 1 ] || {
                more=', "contradiction"' texts=3 tokens=7 row='\010' with=1 heads=50 body=72
                distractors=true
            }
            printf '{"format": "nclip examples", "version": 1, "store": {"path": "/s", "fingerprint": "0123456789abcdef", "rows": 9, "blocks": 1, "dimension": 2, "element_type": "fp32", "model_hash": "0123456789abcdef"}, "tokenizer": "0123456789abcdef", "vocabulary": 99, "context": 77, "id_bytes": 2, "too_long": "truncate", "distractors": %s, ' $distractors
            printf '"counts": {"captions": 4, "examples": 2, "texts": %s, "tokens": %s, "pictures": 2, "distractors": %s, "truncated": 0, "negation_lost": 0, "longest_text": 3, "longest_example": 5, "largest_block": 2}, "roles": ["caption"%s], ' $texts $tokens $with "$more"
            printf '"left_out": [{"reason": "picture_not_in_store", "count": 2, "first": "x"}], "sources": [{"path": "a", "bytes": 9}], "shards": [{"file": "examples-000000.set", "first_block": 0, "blocks": 1, "sum": "0123456789abcdef"}]}\n'
            cut_line
            {
                printf '\212\246format\256nclip examples\247version\001\245shard\000\253first_block\000'
                printf '\246blocks\001\251first_row\000\245roles'
                printf "\\00$role\\250id_bytes\\002\\251row_bytes$row\\254table_offset\\315\\001\\000"
                head -c 256 /dev/zero
            } | head -c 256
            for number in 0 9 2 $texts $tokens $with 4096 $heads 0 8192 $body 0 0; do
                little $number
            done
            head -c $((4096 - 256 - 13 * 8)) /dev/zero
            {
                little 0 && little 3
                [ $role = 1 ] || { little 7 && printf '\377\377\377\377\377\377\377\377'; }
                printf '\001\000\000\000\010\000\000\000'
                [ $role = 1 ] && printf '\003\000\002\000\001\001' ||
                    printf '\003\000\002\000\002\000\001\001\001\000'
                head -c 4096 /dev/zero
            } | head -c 4096
            {
                printf '\001\000\002\000\003\000\004\000\005\000'
                head -c 4096 /dev/zero
            } | head -c 4096
        } | seed 000
    done
    ;;
csv)
    printf 'image,caption\na.jpg,"a ""cat"", sitting"\nb.jpg,"two\nlines"\n' | seed ""
    printf 'a\tb\r\n1\t2\r\n' | seed ""
    files "" evaluate/references/*.csv
    ;;
tables)
    for type in '<f4' '<f2'; do
        {
            printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '$type', 'fortran_order': False, 'shape': (2, 2), }"
            head -c 16 /dev/zero
        } | seed ""
    done
    printf '{"image_path": "a.jpg", "caption": null}\n{"image_path": 7}\n' | seed ""
    printf 'image_path\tcaption\na.jpg\tno cats\n' | seed ""
    printf 'image_path\na.jpg\n' | seed ""
    printf 'PAR1\025\004\025PAR1' | seed ""
    ;;
scan)
    printf 'a cat\nno dogs here\n\nnothing, isn'"'"'t it\n' >"$folder.text"
    printf '{"caption": "no dogs"}\n{"text": "a \\u0063at"}\n' >"$folder.jsonl"
    printf '[{"caption": "no dogs"}, {"a": {"caption": "x"}}]' >"$folder.json"
    printf 'image,caption\na,"no ""dogs"""\nb,c\n' >"$folder.csv"
    printf 'image\tcaption\na\tno dogs\n' >"$folder.tsv"
    byte=0
    for form in text jsonl json csv tsv; do
        seed 00$byte <"$folder.$form"
        gzip -c "$folder.$form" | seed 00$byte
        ! command -v zstd >/dev/null || zstd -qc "$folder.$form" | seed 00$byte
        byte=$((byte + 1))
    done
    mkdir -p "$folder.tar"
    cp "$folder.text" "$folder.tar/1.txt"
    printf '{"caption": "no cat"}' >"$folder.tar/2.json"
    (cd "$folder.tar" && tar cf - 1.txt 2.json) | seed 005
    (cd "$folder.tar" && tar czf - 1.txt 2.json) | seed 005
    rm -rf "$folder.text" "$folder.jsonl" "$folder.json" "$folder.csv" "$folder.tsv" "$folder.tar"
    ;;
yaml)
    files "" ../configs/*.yaml
    printf 'trainable: [text, "-token_embedding"]\nlearning_rate: 1e-6\n' | seed ""
    ;;
chat)
    printf '{"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "a dog"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}' | seed 000
    printf '{"choices": [{"message": {"content": null, "reasoning_content": "hm"}, "finish_reason": "length"}]}' | seed 000
    printf '{"choices": [{"message": {"content": "<think>hm</think>yes"}}]}' | seed 000
    printf '{"error": {"message": "Unsupported parameter: max_tokens is not supported with this model. Use max_completion_tokens instead.", "param": "max_tokens"}}' | seed 002
    printf '{"error": {"message": "temperature must be within [0, 0.5]", "code": 400}}' | seed 002
    printf '{"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted"}]}' | seed 002
    printf '<html><body>502 Bad Gateway</body></html>' | seed 002
    printf '<think>hm</think>yes' | seed 003
    printf '<|channel|>analysis<|message|>hm<|end|><answer>yes</answer>' | seed 003
    for byte in 000 004; do
        printf 'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"choices": [{"delta": {"reasoning": "b"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n' | seed $byte
    done
    ;;
vqa)
    printf '[["is there a red shape?", "no", 0], ["what color is the circle?", "red", 1]]' | seed 000
    {
        printf '{"questions": [{"question_id": 1, "image_id": 2, "question": "Is there a dog?"}]}\n'
        cut_line
        printf '{"annotations": [{"question_id": 1, "image_id": 2, "multiple_choice_answer": "no", "answers": [{"answer": "no"}, {"answer": "no"}]}]}'
    } | seed 001
    files 002 ../configs/quickstart/held_out.json
    cut -f 1 generate/vqa_v2_questions.tsv | sed -n '2~9p' | while read -r question; do
        number=$((number + 1))
        printf "\\003%s" "$question" >"$folder/question-$number"
    done
    ;;
benchmarks)
    head -c 600000 evaluate/references/negrefcocog.json | seed 000
    printf '[{"phrase": "a cat", "images": ["a.jpg", "b.jpg"], "answer": 1, "group": "g"}, {"image": "a.jpg", "phrases": ["x", "y"], "answer": 0}, {"phrase": "a", "image": "b.jpg", "boxes": [[0, 0, 9, 9], [1.5, 2, 3, 4]], "answer": 1}]' | seed 000
    files 001 evaluate/references/valse/*.json evaluate/references/sugarcrepe.json evaluate/references/ccneg.json
    files 002 evaluate/references/crepe.csv evaluate/references/negbench.csv
    files 003 evaluate/references/karpathy.json
    files 004 evaluate/references/negated.csv
    {
        printf '2\nRed Circle\n1.jpg 1 -1\n2.jpg -1 1\n'
        cut_line
        printf '1.jpg 2\n2.jpg 2\n'
    } | seed 005
    printf '# classes\na\ta cat\nb\tdog\n' | seed 006
    files 007 ../configs/benchmarks.json
    ;;
checkpoint)
    {
        printf '{"version": 1, "step": 7, "epoch": 1, "batch": 2, "best_epoch": 1, "best_validation_loss": "inf", "epoch_loss": "1.5", "examples": "0000000000000000", "config": "seed: 1\\n"}'
        cut_line
        safetensors '{"first.logit_scale":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"second.logit_scale":{"dtype":"F32","shape":[],"data_offsets":[4,8]}}' 8
    } | seed ""
    ;;
journal)
    head -c 3000 generate/recorded/journal | seed ""
    printf 'nclip journal 1\n' | seed ""
    ;;
runs)
    printf '{"step": 1, "epoch": 0, "loss": 2.5, "logit_scale": 4.6, "learning_rate": 1e-6, "captions_per_second": 10}\n{"epoch": 1, "validation_loss": 2.25}\n{"step": 4, "epoch": 1, "loss": 2}\n' | seed 000
    {
        printf '[{"phrase": "a", "images": ["a.jpg", "b.jpg"], "answer": 1, "group": "negation/held-out pair"}]\n'
        cut_line
        printf '{"index": 0, "choice": 1, "answer": 1, "scores": [0.1, 0.2]}\n'
        cut_line
        printf '{"index": 0, "choice": 0, "answer": 1, "scores": [0.2, 0.1]}\n'
    } | seed 001
    ;;
*)
    echo "seeds.sh: no seeds for $name" >&2
    exit 2
    ;;
esac
