# Sourced by the tests of this folder: 24 pictures of 64 x 64, one shape of one color each, like
# easy-VQA's, which the quick start's model knows, and captions of them.
#   draw_pictures FOLDER    writes FOLDER/COLOR-SHAPE.png
#   write_captions FILE     writes JSONL captions of them, 8 a picture, half with a negation
# PNG wants the CRC-32 of each part and deflated pixels; gzip makes both.

shapes="circle rectangle triangle"
colors="black gray red blue green brown teal yellow"

rgb() { # red, green and blue of a color, as printf escapes
    case $1 in
    black) printf %s '\000\000\000' ;;
    gray) printf %s '\200\200\200' ;;
    red) printf %s '\377\000\000' ;;
    blue) printf %s '\000\000\377' ;;
    green) printf %s '\000\200\000' ;;
    brown) printf %s '\245\052\052' ;;
    teal) printf %s '\000\200\200' ;;
    yellow) printf %s '\377\377\000' ;;
    esac
}

reverse_bytes() { # of a file of four bytes
    for at in 4 3 2 1; do
        tail -c +$at "$1" | head -c 1
    done
}

png_part() { # a file that holds a part's name and content, to standard output
    size=$(($(wc -c <"$1") - 4))
    printf "\\000\\000\\$(printf %03o $((size / 256)))\\$(printf %03o $((size % 256)))"
    cat "$1"
    gzip -c "$1" | tail -c 8 | head -c 4 >"$1.crc"
    reverse_bytes "$1.crc"
}

draw_pictures() {
    mkdir -p "$1"
    parts=$1.parts
    mkdir "$parts"
    printf '\211PNG\r\n\032\n' >"$parts/signature"
    printf 'IHDR\000\000\000\100\000\000\000\100\010\003\000\000\000' >"$parts/part"
    png_part "$parts/part" >"$parts/header"
    printf IEND >"$parts/part"
    png_part "$parts/part" >"$parts/end"
    for shape in $shapes; do
        # F: the filter byte that starts a row; P: paper; I: ink. Adler-32 of them goes to a file.
        awk -v shape="$shape" -v checksum="$parts/checksum" 'BEGIN {
            a = 1
            for (y = 0; y < 64; y++) {
                row = "F"
                b += a
                for (x = 0; x < 64; x++) {
                    inside = shape == "circle" ? (x - 32) ^ 2 + (y - 32) ^ 2 < 200 : \
                        shape == "rectangle" ? x >= 18 && x < 46 && y >= 22 && y < 42 : \
                        y >= 18 && y < 44 && 2 * (x > 32 ? x - 32 : 32 - x) <= y - 18
                    row = row (inside ? "I" : "P")
                    b += a += inside
                }
                printf "%s", row
            }
            a %= 65521
            b %= 65521
            printf "\\%03o\\%03o\\%03o\\%03o", b / 256, b % 256, a / 256, a % 256 >checksum
        }' | tr FPI '\000\000\001' >"$parts/pixels"
        {
            printf 'IDAT\170\001' # zlib's header; gzip's has ten bytes, its end eight
            gzip -cn "$parts/pixels" | tail -c +11 >"$parts/deflated"
            head -c $(($(wc -c <"$parts/deflated") - 8)) "$parts/deflated"
            printf "$(cat "$parts/checksum")"
        } >"$parts/part"
        png_part "$parts/part" >"$parts/$shape"
    done
    for color in $colors; do
        printf "PLTE\\365\\365\\365$(rgb "$color")" >"$parts/part"
        png_part "$parts/part" >"$parts/palette"
        for shape in $shapes; do
            cat "$parts/signature" "$parts/header" "$parts/palette" "$parts/$shape" "$parts/end" \
                >"$1/$color-$shape.png"
        done
    done
    rm -r "$parts"
}

write_captions() {
    other_color=yellow
    for color in $colors; do
        other_shape=triangle
        for shape in $shapes; do
            cat <<END_OF_CAPTIONS
{"image": "$color-$shape.png", "caption": "a picture of a $color $shape"}
{"image": "$color-$shape.png", "caption": "there is a $color shape"}
{"image": "$color-$shape.png", "caption": "a picture with a $shape"}
{"image": "$color-$shape.png", "caption": "there is a $shape in the picture"}
{"image": "$color-$shape.png", "caption": "a $shape that is not $other_color", "contradiction": "a $shape that is not $color"}
{"image": "$color-$shape.png", "caption": "a $color shape, but no $other_shape"}
{"image": "$color-$shape.png", "caption": "there is no $other_shape", "contradiction": "there is no $shape"}
{"image": "$color-$shape.png", "caption": "no $other_color shape"}
END_OF_CAPTIONS
            other_shape=$shape
        done
        other_color=$color
    done >"$1"
}
