/* What a file is, told by its first bytes. */
#include "nclip/formats/kind.h"

#include "../support/temporary_folder.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void is(const char *bytes, size_t size, enum nc_kind expected)
{
    char *copy = calloc(size + 1, 1); /* the sanitizer sees each byte too many */
    memcpy(copy + 1, bytes, size);
    enum nc_kind kind = nc_kind_of(copy + 1, size, true);
    free(copy);
    if (kind != expected)
        fail_msg("\"%.40s\" is %s, not %s", bytes, nc_kind_name(kind), nc_kind_name(expected));
}

#define BYTES(text) text, sizeof(text) - 1

static void signatures(void **state)
{
    (void)state;
    is(BYTES(""), NC_KIND_EMPTY);
    is(BYTES("\xff\xd8\xff\xe0..JFIF"), NC_KIND_JPEG);
    is(BYTES("\x89PNG\r\n\x1a\n...."), NC_KIND_PNG);
    is(BYTES("\x89PNG\n\x1a\n....\0"), NC_KIND_UNKNOWN); /* line ends were changed */
    is(BYTES("RIFF\x10\0\0\0WEBPVP8 "), NC_KIND_WEBP);
    is(BYTES("RIFF\x10\0\0\0WAVEfmt "), NC_KIND_UNKNOWN);
    is(BYTES("GIF89a\1\0"), NC_KIND_GIF);
    is(BYTES("GIFts under no tree"), NC_KIND_TEXT);
    is(BYTES("\0\0\0\x1c"
             "ftypavif\0\0\0\0mif1miaf"),
       NC_KIND_AVIF);
    is(BYTES("\0\0\0\x1c"
             "ftypmif1\0\0\0\0miafavif"),
       NC_KIND_AVIF);
    is(BYTES("\0\0\0\x18"
             "ftypheic\0\0\0\0mif1heic"),
       NC_KIND_HEIC);
    is(BYTES("\0\0\0\x18"
             "ftypmp42\0\0\0\0mp42isom"),
       NC_KIND_VIDEO);
    is(BYTES("BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"), NC_KIND_BMP);
    is(BYTES("BMW on a street with no cars"), NC_KIND_TEXT);
    is(BYTES("P6\n2 2\n255\n\1\1\1\0"), NC_KIND_PNM);
    is(BYTES("P1 sign\nP2 sign"), NC_KIND_TEXT);
    is(BYTES("\x1f\x8b\x08\0"), NC_KIND_GZIP);
    is(BYTES("\x28\xb5\x2f\xfd\0"), NC_KIND_ZSTD);
    is(BYTES("\x50\x2a\x4d\x18\4\0\0\0abcd"), NC_KIND_ZSTD); /* pzstd's first frame */
    is(BYTES("\xfd"
             "7zXZ\0\0"),
       NC_KIND_XZ);
    is(BYTES("BZh91AY&SY"), NC_KIND_BZIP2);
    is(BYTES("PAR1\x15\0"), NC_KIND_PARQUET);
    is(BYTES("\x93NUMPY\1\0"), NC_KIND_NPY);
    is(BYTES("\x80\2\x8a\x0al\xfc\x9c"), NC_KIND_PICKLE);
    is(BYTES("\x80\2\0\0\0\0\0\0{\"a\": {}}"), NC_KIND_SAFETENSORS);
    is(BYTES("\x0a\0\0\0\0\0\0\0{\"a\": {}}"), NC_KIND_SAFETENSORS);
    is(BYTES("version https://git-lfs.github.com/spec/v1\noid sha256:a6"), NC_KIND_LFS_POINTER);
    is(BYTES("versions of no dog"), NC_KIND_TEXT);
}

static size_t zip(char *out, const char *name)
{
    memset(out, 0, 64);
    memcpy(out, "PK\3\4", 4);
    out[26] = (char)strlen(name);
    memcpy(out + 30, name, strlen(name));
    return 64;
}

static void archives(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum nc_kind kind;
    } cases[] = {{"archive/data.pkl", NC_KIND_PYTORCH},
                 {"ViT-B-32/version", NC_KIND_PYTORCH},
                 {"arr_0.npy", NC_KIND_NPZ},
                 {"[Content_Types].xml", NC_KIND_OFFICE},
                 {"val/a.jpg", NC_KIND_ZIP}};
    char bytes[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        is(bytes, zip(bytes, cases[i].name), cases[i].kind);
    memcpy(bytes + 26, "\xff\xff", 2); /* a name that reaches behind the end */
    is(bytes, sizeof bytes, NC_KIND_ZIP);
}

static void texts(void **state)
{
    (void)state;
    is(BYTES("a dog\nno cat\n"), NC_KIND_TEXT);
    is(BYTES("a dog, a cat\nno dog, no cat\n"), NC_KIND_TEXT);
    is(BYTES("caf\xe9 without a table\n"), NC_KIND_TEXT); /* an older code */
    is(BYTES("\xef\xbb\xbf{\"a\": 1}\r\n{\"a\": 2}"), NC_KIND_JSONL);
    is(BYTES("{\"a\": \"}\\\"{\"}\n{\"a\": 2}\n"), NC_KIND_JSONL);
    is(BYTES("{\"a\": 1}\n"), NC_KIND_JSON);
    is(BYTES("{\"a\": 1,\n\"b\": 2}\n"), NC_KIND_JSON);
    is(BYTES("[{\"a\": 1},\n{\"b\": 2}]\n"), NC_KIND_JSON);
    is(BYTES("[UNK] a dog\n"), NC_KIND_TEXT);
    is(BYTES("{a dog}\n"), NC_KIND_TEXT);
    is(BYTES("u1\tno dog\nu2\ta \"cat\n"), NC_KIND_TSV);
    is(BYTES("u1\tno dog\nu2 a cat\n"), NC_KIND_TEXT);
    is(BYTES("image,caption\na.jpg,\"no dog,\n a cat\"\n"), NC_KIND_CSV);
    is(BYTES(",image,caption\n0,a.jpg,no dog\n"), NC_KIND_CSV);
    is(BYTES("image,caption\na.jpg,no dog,a cat\n"), NC_KIND_TEXT);
    is(BYTES("<person> with no hat\n"), NC_KIND_TEXT);
    is(BYTES("\r\n <!DOCTYPE html>"), NC_KIND_HTML);
    is(BYTES("<html>404 not found</html>"), NC_KIND_HTML);
    is(BYTES("<?xml version=\"1.0\"?><Error><Code>AccessDenied"), NC_KIND_XML);
    is(BYTES("<?xml version=\"1.0\"?>\n<svg width=\"1\">"), NC_KIND_SVG);
    is(BYTES("\xff\xfe"
             "a\0"),
       NC_KIND_UTF16);
    is(BYTES("\xfe\xff\0a"), NC_KIND_UTF16);
    is(BYTES("a\0 \0d\0o\0g\0\n\0"), NC_KIND_UTF16);
    is(BYTES("\0a\0 \0d\0o\0g"), NC_KIND_UTF16);
    is(BYTES("\xff\xfe\0\0a\0\0\0"), NC_KIND_UTF32);
    is(BYTES("a dog\0no cat, no bird at all\n"), NC_KIND_UNKNOWN);
    is(BYTES("\1\2\3\4\5\6\7"), NC_KIND_UNKNOWN);
}

/* The last line of a head may be cut. */
static void heads(void **state)
{
    (void)state;
    static const char jsonl[] = "{\"a\": 1}\n{\"a\": 2}\n", csv[] = "a,b\n1,2\n3,\"4\n5\"\n";
    for (size_t size = 10; size < sizeof jsonl; size++)
        assert_int_equal(nc_kind_of(jsonl, size, false), NC_KIND_JSONL);
    for (size_t size = 8; size < sizeof csv; size++)
        assert_int_equal(nc_kind_of(csv, size, false), NC_KIND_CSV);
    assert_int_equal(nc_kind_of("{\"a\": 1", 7, false), NC_KIND_JSON);
}

static void files_and_sentences(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "w.jpg");
    enum nc_kind kind;
    assert_int_equal(nc_kind_of_file(path, &kind), NC_BAD_INPUT);
    assert_int_equal(nc_kind_of_file(folder, &kind), NC_BAD_INPUT);
    assert_int_equal(nc_file_write(path, "RIFF....WEBPVP8 ", 16), NC_OK);
    assert_int_equal(nc_kind_of_file(path, &kind), NC_OK);
    assert_int_equal(kind, NC_KIND_WEBP);
    assert_true(nc_kind_is_picture(kind) && !nc_kind_is_text(kind));
    assert_int_equal(nc_kind_refuse("w.jpg", kind, "a JPEG or PNG", "convert it to one"),
                     NC_BAD_INPUT);
    assert_string_equal(nc_error_message(),
                        "w.jpg: a WebP picture, not a JPEG or PNG; convert it to one");
    nc_kind_refuse("m", NC_KIND_LFS_POINTER, "a safetensors file", "convert it to one");
    assert_string_equal(nc_error_message(), "m: a Git LFS pointer, not a safetensors file; fetch "
                                            "the file itself with `git lfs pull`");
    for (int i = 0; i <= NC_KIND_TEXT; i++)
        assert_non_null(nc_kind_name((enum nc_kind)i));
    free(path);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures), cmocka_unit_test(archives), cmocka_unit_test(texts),
        cmocka_unit_test(heads), cmocka_unit_test(files_and_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
