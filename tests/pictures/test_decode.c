/* Pictures that are not what they say: an error, never a crash, never an absurd allocation. */
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/pictures/image.h"

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

static unsigned touched; /* every pixel is looked at */

/* Decodes from a block of exactly `size` bytes, so that a sanitizer sees reads behind it. */
static int decode(const uint8_t *bytes, size_t size)
{
    struct nc_image image;
    uint8_t *exact = malloc(size ? size : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    int status = nc_image_decode("x", exact, size, &image);
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
    "444.jpg",  "420.jpg",  "422.jpg",        "progressive.jpg", "progressive_restart.jpg",
    "cmyk.jpg", "grey.jpg", "restart.jpg",    "rgb.png",         "palette5.png",
    "bit.png",  "rgba.png", "interlaced.png", "grey16.png",      "rgb16.png"};
enum { SAMPLES = sizeof samples / sizeof *samples };

static void truncated_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t size;
        uint8_t *bytes = read_picture(samples[i], &size);
        assert_int_equal(decode(bytes, size), NC_OK);
        for (size_t cut = 0; cut < size; cut++)
            if (decode(bytes, cut) == NC_OK)
                fail_msg("%s: decoded from %zu of %zu bytes", samples[i], cut, size);
        free(bytes);
    }
}

/* A JPEG cut short whose end was put back, as some servers do. */
static void missing_data_before_the_end_is_refused(void **state)
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
            memcpy(copy, bytes, cut);
            memcpy(copy + cut, "\xff\xd9", 2);
            refuses(copy, cut + 2, "damaged JPEG");
            free(copy);
        }
        free(bytes);
    }
    /* Of a progressive file, a whole scan. */
    size_t size;
    uint8_t *bytes = read_picture("progressive.jpg", &size), *last = NULL;
    for (size_t at = 0; at + 2 <= size; at++)
        if (memcmp(bytes + at, "\xff\xda", 2) == 0)
            last = bytes + at;
    assert_non_null(last);
    last[1] = 0xd9;
    refuses(bytes, size, "scans are missing");
    free(bytes);
}

/* PNG checks every part, so that a flipped bit must be made to fit its checksum. */
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

static void a_wrong_checksum_is_refused(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = read_picture("rgb.png", &size);
    bytes[size / 2] ^= 1;
    refuses(bytes, size, "checksum");
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

/* 64 MB of zeros in a few KB, for a picture of 27 x 21 pixels. */
static void an_inflating_bomb_is_refused(void **state)
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
    refuses(out, 41 + packed + 16, "damaged PNG");
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
    refuses((const uint8_t *)"RIFF....WEBPVP8 ", 16, "a WebP");
    refuses((const uint8_t *)"<!DOCTYPE html>", 15, "HTML");
    refuses((const uint8_t *)"hello", 5, "not a JPEG or PNG");
    struct nc_image image;
    assert_int_equal(nc_image_load("pictures/images/missing.jpg", &image), NC_BAD_INPUT);
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
    assert_int_equal(nc_image_load("pictures/images/444.jpg", &image), NC_OK);
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
        cmocka_unit_test(missing_data_before_the_end_is_refused),
        cmocka_unit_test(damaged_anywhere_does_no_harm),
        cmocka_unit_test(a_wrong_checksum_is_refused),
        cmocka_unit_test(lying_sizes_allocate_nothing),
        cmocka_unit_test(an_inflating_bomb_is_refused),
        cmocka_unit_test(huffman_tables_are_checked),
        cmocka_unit_test(names_what_it_is_instead),
        cmocka_unit_test(unread_kinds_of_jpeg_are_named),
        cmocka_unit_test(resizing_to_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
