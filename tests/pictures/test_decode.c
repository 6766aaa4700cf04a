/* Pictures that are not what they say: an error, never a crash, never an absurd allocation. */
#include "nclip/pictures/image.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static uint8_t *read_picture(const char *name, size_t *size)
{
    char path[128], *data;
    snprintf(path, sizeof path, "pictures/images/%s", name);
    if (nc_file_read(path, 1 << 20, &data, size) != NC_OK)
        fail_msg("%s", nc_error_message());
    return (uint8_t *)data;
}

static const struct nc_image_reading strict = {.strict = true};

static unsigned touched; /* every pixel is looked at */

/* Decodes from a block of exactly `size` bytes, so that a sanitizer sees reads behind it. */
static int decode(const uint8_t *bytes, size_t size)
{
    struct nc_image image;
    uint8_t *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    int status = nc_image_decode("x", exact, size, NULL, &image);
    if (status == NC_OK) {
        for (size_t i = 0; i < image.width * image.height * 3; i++)
            touched += image.pixels[i];
    } else {
        assert_null(image.pixels);
        assert_int_equal(status, NC_BAD_INPUT);
        assert_memory_equal(nc_error_message(), "x: ", 3);
    }
    nc_image_free(&image);
    free(exact);
    return status;
}

static void refuses(const uint8_t *bytes, size_t size, const char *because)
{
    assert_int_equal(decode(bytes, size), NC_BAD_INPUT);
    if (!strstr(nc_error_message(), because))
        fail_msg("\"%s\" does not say \"%s\"", nc_error_message(), because);
}

static const char *const samples[] = {
    "444.jpg",    "420.jpg",       "422.jpg",          "progressive.jpg", "progressive_restart.jpg",
    "cmyk.jpg",   "grey.jpg",      "restart.jpg",      "rgb.png",         "palette5.png",
    "bit.png",    "rgba.png",      "interlaced.png",   "grey16.png",      "rgb16.png",
    "lossy.webp", "lossless.webp", "lossy_alpha.webp", "animated.webp"};
enum { SAMPLES = sizeof samples / sizeof *samples };

/* Of a PNG, what is behind the last bit of the pixels may be missing, as PIL has it; of the other
 * kinds nothing. What is read from less is the same picture. */
static void truncated_anywhere_is_refused(void **state)
{
    (void)state;
    enum { BEHIND_PIXELS = 12 + 4 + 4 + 2 }; /* IEND, a part's checksum, the stream's, two bytes */
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t size;
        uint8_t *bytes = read_picture(samples[i], &size);
        size_t tail = strstr(samples[i], ".png") ? BEHIND_PIXELS : 0;
        struct nc_image whole, image;
        assert_int_equal(nc_image_decode("x", bytes, size, NULL, &whole), NC_OK);
        for (size_t cut = 0; cut < size; cut++)
            if (decode(bytes, cut) == NC_OK && cut < size - tail)
                fail_msg("%s: decoded from %zu of %zu bytes", samples[i], cut, size);
        for (size_t cut = size - tail; cut < size; cut++) {
            if (nc_image_decode("x", bytes, cut, NULL, &image) == NC_OK) {
                assert_memory_equal(image.pixels, whole.pixels, 3 * whole.width * whole.height);
                assert_true(image.damage[0]);
            }
            nc_image_free(&image);
            assert_int_equal(nc_image_decode("x", bytes, cut, &strict, &image), NC_BAD_INPUT);
        }
        nc_image_free(&whole);
        free(bytes);
    }
}

/* A JPEG cut short whose end was put back, as some servers do: PIL reads it, and so it is read, but
 * not in silence. */
static void missing_data_before_the_end_is_named(void **state)
{
    (void)state;
    static const char *const names[] = {"444.jpg", "420.jpg", "grey.jpg", "cmyk.jpg",
                                        "restart.jpg"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t size;
        uint8_t *bytes = read_picture(names[i], &size);
        uint8_t *scan = memmem(bytes, size, "\xff\xda", 2);
        for (size_t cut = (size_t)(scan - bytes) + 16; cut < size - 6; cut += 7) {
            uint8_t *copy = malloc(cut + 2);
            struct nc_image image;
            memcpy(copy, bytes, cut);
            memcpy(copy + cut, "\xff\xd9", 2);
            assert_int_equal(nc_image_decode("x", copy, cut + 2, NULL, &image), NC_OK);
            assert_non_null(strstr(image.damage, "Corrupt JPEG data"));
            nc_image_free(&image);
            assert_int_equal(nc_image_decode("x", copy, cut + 2, &strict, &image), NC_BAD_INPUT);
            free(copy);
        }
        free(bytes);
    }
}

/* PNG checks the parts before the pixels, so that a flipped bit must be made to fit its checksum.
 */
static void mend_png(uint8_t *bytes, size_t size)
{
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = (size_t)bytes[at] << 24 | (size_t)bytes[at + 1] << 16 |
                        (size_t)bytes[at + 2] << 8 | bytes[at + 3];
        if (length > size - at - 12)
            return;
        uint32_t crc = (uint32_t)crc32(0, bytes + at + 4, (uInt)length + 4);
        for (size_t i = 0; i < 4; i++)
            bytes[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += length + 12;
    }
}

static void damaged_anywhere_does_no_harm(void **state)
{
    (void)state;
    uint32_t random = 12345;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t size, refused = 0;
        uint8_t *bytes = read_picture(samples[i], &size);
        uint8_t *copy = malloc(size);
        bool png = bytes[0] == 0x89;
        for (int round = 0; round < 600; round++) {
            memcpy(copy, bytes, size);
            for (int change = 0; change <= round % 4; change++) {
                random = random * 1664525 + 1013904223;
                size_t at = (random >> 8) % size;
                if (png && (at < 8 || (at >= 16 && at < 20)))
                    continue; /* the signature; widths of millions only cost time */
                copy[at] =
                    round % 3 ? (uint8_t)(copy[at] ^ (1 << (random & 7))) : (uint8_t)(random >> 24);
            }
            if (png && round % 8)
                mend_png(copy, size);
            refused += decode(copy, size) != NC_OK;
        }
        assert_true(refused > 20);
        free(copy);
        free(bytes);
    }
}

/* As PIL: before the pixels every checksum counts, and the pixels' own. */
static void a_wrong_checksum_is_refused(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_picture("rgb.png", &size);
    bytes[size - 12 - 5] ^= 1;
    refuses(bytes, size, "checksum");
    bytes[size - 12 - 5] ^= 1;
    bytes[31] ^= 1; /* of the header */
    refuses(bytes, size, "a wrong checksum at byte 8");
    bytes[31] ^= 1;
    free(bytes);
    bytes = read_picture("palette5.png", &size);
    uint8_t *palette = memmem(bytes, size, "PLTE", 4);
    palette[5] ^= 1;
    refuses(bytes, size, "a wrong checksum at byte 33");
    free(bytes);
}

/* PIL looks into some of the parts that no pixel depends on, and refuses the file for them. */
static void wrong_parts_are_refused(void **state)
{
    (void)state;
    static const char *const parts[] = {"\0\0\0\0gAMA", "\0\0\0\x3iCCPab\0", "\0\0\0\x3zTXta\0\1",
                                        "\0\0\0\1pHYsx"};
    size_t size;
    uint8_t *bytes = read_picture("rgb.png", &size);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (int behind = 0; behind < 2; behind++) {
            size_t part = 12 + (size_t)parts[i][3], at = behind ? size - 12 : 33;
            uint8_t *copy = calloc(1, size + part);
            memcpy(copy, bytes, at);
            memcpy(copy + at, parts[i], part - 4);
            memcpy(copy + at + part, bytes + at, size - at);
            mend_png(copy, size + part);
            refuses(copy, size + part, "a wrong part at byte");
            free(copy);
        }
    free(bytes);
}

/* A few bytes a scan, each of which goes over the whole picture. */
static void too_many_scans_are_refused(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_picture("progressive.jpg", &size), *last = NULL;
    for (size_t at = 0; at + 2 <= size; at++)
        if (memcmp(bytes + at, "\xff\xda", 2) == 0)
            last = bytes + at;
    assert_non_null(last);
    size_t head = (size_t)(last - bytes), scan = size - 2 - head;
    for (size_t scans = 40; scans <= 2000; scans *= 50) {
        uint8_t *copy = malloc(head + scans * scan + 2), *end = copy + head;
        memcpy(copy, bytes, head);
        for (size_t i = 0; i < scans; i++, end += scan)
            memcpy(end, last, scan);
        memcpy(end, "\xff\xd9", 2);
        if (scans == 40) /* of a small picture */
            assert_int_equal(decode(copy, head + scans * scan + 2), NC_OK);
        else
            refuses(copy, head + scans * scan + 2, "more than 1000 scans");
        uint8_t *frame = memmem(copy, head, "\xff\xc2", 2);
        memcpy(frame + 5, "\x20\x00\x20\x00", 4); /* 8192 x 8192 */
        uint8_t *padded = calloc(1, (size_t)1 << 20);
        memcpy(padded, copy, head + (size_t)40 * scan);
        refuses(padded, (size_t)1 << 20, "more than 36 scans, which would take too long");
        free(padded);
        free(copy);
    }
    free(bytes);
}

static void lying_sizes_allocate_nothing(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_picture("rgb.png", &size);
    uint8_t *header = bytes + 16; /* width, height */
    memcpy(header, "\x7f\xff\xff\xff\x7f\xff\xff\xff", 8);
    mend_png(bytes, size);
    refuses(bytes, size, "more than the");
    memcpy(header, "\x00\x00\xff\xff\x00\x00\x0a\x00", 8);
    mend_png(bytes, size);
    refuses(bytes, size, "cannot hold 65535 x 2560 pixels");
    memcpy(header, "\0\0\0\0\0\0\0\0", 8);
    mend_png(bytes, size);
    refuses(bytes, size, "header");
    free(bytes);

    bytes = read_picture("420.jpg", &size);
    uint8_t *frame = memmem(bytes, size, "\xff\xc0", 2);
    assert_non_null(frame);
    memcpy(frame + 5, "\xff\x00\xff\x00", 4);
    refuses(bytes, size, "more than the");
    memcpy(frame + 5, "\x0a\x00\xff\x00", 4);
    refuses(bytes, size, "cannot hold 65280 x 2560 pixels");
    memcpy(frame + 5, "\0\0\0\0", 4);
    refuses(bytes, size, "Empty JPEG");
    free(bytes);
}

/* 64 MB of zeros in a few KB, for a picture of 27 x 21 pixels: no more than these are inflated. */
static void an_inflating_bomb_does_no_harm(void **state)
{
    (void)state;
    size_t size, bomb_size = (size_t)64 << 20;
    uint8_t *bytes = read_picture("rgb.png", &size), *zeros = calloc(bomb_size, 1);
    uLongf packed = compressBound(bomb_size);
    uint8_t *out = malloc(packed + 128);
    memcpy(out, bytes, 33); /* signature and header */
    assert_int_equal(compress2(out + 41, &packed, zeros, bomb_size, 9), Z_OK);
    for (int i = 0; i < 4; i++)
        out[33 + i] = (uint8_t)(packed >> (24 - 8 * i));
    memcpy(out + 37, "IDAT", 4);
    memcpy(out + 41 + packed + 4, "\0\0\0\0IEND\0\0\0\0", 12);
    mend_png(out, 41 + packed + 16);
    struct nc_image image;
    assert_int_equal(nc_image_decode("x", out, 41 + packed + 16, NULL, &image), NC_OK);
    assert_string_equal(image.damage, "bytes behind the last pixel");
    nc_image_free(&image);
    free(out);
    free(zeros);
    free(bytes);
}

/* Behind 256 symbols stb_image 2.27 would write over its other tables. */
static void huffman_tables_are_checked(void **state)
{
    (void)state;
    uint8_t bytes[2048] = {0xff, 0xd8, 0xff, 0xc4, 0x07, 0x0c, 0x00};
    for (size_t i = 0; i < 7; i++)
        bytes[7 + 9 + i] = 255; /* codes of 10 to 16 bits */
    refuses(bytes, sizeof bytes, "Huffman");

    size_t size;
    uint8_t *picture = read_picture("444.jpg", &size);
    uint8_t *table = memmem(picture, size, "\xff\xc4", 2), *counts = table + 5;
    assert_true(counts[2] >= 3);
    counts[0] += 3; /* 3 codes of 1 bit */
    counts[2] -= 3;
    refuses(picture, size, "Huffman");
    counts[0] -= 3;
    counts[2] += 3;
    table[1] = 0xfe; /* a comment instead: files without tables mean the standard ones */
    assert_int_equal(decode(picture, size), NC_OK);
    free(picture);
}

static void names_what_it_is_instead(void **state)
{
    (void)state;
    refuses((const uint8_t *)"", 0, "empty");
    refuses((const uint8_t *)"GIF89a.....", 11, "a GIF");
    refuses((const uint8_t *)"RIFF....WEBPVP8 ", 16, "WebP");
    refuses((const uint8_t *)"\0\0\0 ftypavif\0\0\0\0", 16, "an AVIF");
    refuses((const uint8_t *)"\0\0\0 ftypheic\0\0\0\0", 16, "a HEIC");
    refuses((const uint8_t *)"BM....\0\0\0\0....\x28\0\0\0", 18, "a BMP");
    refuses((const uint8_t *)"II*\0....", 8, "a TIFF");
    refuses((const uint8_t *)"version https://git-lfs.github.com/spec/v1", 42, "a Git LFS pointer");
    refuses((const uint8_t *)"<!DOCTYPE html>", 15, "HTML");
    refuses((const uint8_t *)"hello", 5, "not a picture (JPEG, PNG and WebP are read)");
    struct nc_image image;
    assert_int_equal(nc_image_load("pictures/images/missing.jpg", NULL, &image), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "missing.jpg"));
}

static void unread_kinds_of_jpeg_are_named(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_picture("444.jpg", &size);
    uint8_t *frame = memmem(bytes, size, "\xff\xc0", 2);
    frame[1] = 0xc3; /* lossless */
    refuses(bytes, size, "SOF type 0xc3");
    frame[1] = 0xc0;
    frame[4] = 12;
    refuses(bytes, size, "precision 12");
    frame[4] = 8;
    frame[11] = 0x31; /* 3:2 of the other components, once they have 2 */
    frame[14] = 0x21;
    refuses(bytes, size, "ractional sampling");
    free(bytes);
}

static void resizing_to_nothing_is_refused(void **state)
{
    (void)state;
    struct nc_image image, resized;
    assert_int_equal(nc_image_load("pictures/images/444.jpg", NULL, &image), NC_OK);
    assert_int_equal(nc_image_resize(&image, 0, 5, NC_RESAMPLE_BICUBIC, &resized), NC_BAD_INPUT);
    assert_int_equal(nc_image_resize(&image, 65535, 65535, NC_RESAMPLE_BICUBIC, &resized),
                     NC_BAD_INPUT);
    assert_null(resized.pixels);
    nc_image_free(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truncated_anywhere_is_refused),
        cmocka_unit_test(missing_data_before_the_end_is_named),
        cmocka_unit_test(damaged_anywhere_does_no_harm),
        cmocka_unit_test(a_wrong_checksum_is_refused),
        cmocka_unit_test(wrong_parts_are_refused),
        cmocka_unit_test(too_many_scans_are_refused),
        cmocka_unit_test(lying_sizes_allocate_nothing),
        cmocka_unit_test(an_inflating_bomb_does_no_harm),
        cmocka_unit_test(huffman_tables_are_checked),
        cmocka_unit_test(names_what_it_is_instead),
        cmocka_unit_test(unread_kinds_of_jpeg_are_named),
        cmocka_unit_test(resizing_to_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
