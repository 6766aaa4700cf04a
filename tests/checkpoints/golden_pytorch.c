/* Weights that PyTorch wrote (make_pytorch_golden.py): the same names, types, shapes and bytes. */
#include "../../host/checkpoints/pickle.h"
#include "../support/temporary_folder.h"
#include "nclip/checkpoints/tensors.h"
#include "nclip/formats/json.h"
#include "nclip/formats/zip.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FOLDER "checkpoints/pytorch"

static void assert_tensor(const char *file, const struct nc_tensor *tensor, const cJSON *expected)
{
    const cJSON *shape = cJSON_GetObjectItem(expected, "shape");
    const char *bytes = cJSON_GetObjectItem(expected, "bytes")->valuestring;
    if (!tensor)
        fail_msg("%s: \"%s\" is missing", file, expected->string);
    assert_string_equal(tensor->type_name, cJSON_GetObjectItem(expected, "type")->valuestring);
    assert_int_equal(tensor->rank, cJSON_GetArraySize(shape));
    for (size_t i = 0; i < tensor->rank; i++)
        assert_int_equal(tensor->shape[i], cJSON_GetArrayItem(shape, (int)i)->valueint);
    assert_int_equal(tensor->bytes * 2, strlen(bytes));
    for (size_t i = 0; i < tensor->bytes; i++) {
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", tensor->data[i]);
        if (memcmp(hex, bytes + 2 * i, 2) != 0)
            fail_msg("%s: \"%s\" differs at byte %zu", file, tensor->name, i);
    }
}

static void every_tensor_is_as_pytorch_reads_it(void **state)
{
    (void)state;
    cJSON *root;
    size_t files = 0;
    assert_int_equal(nc_json_load(FOLDER "/expected.json", &root), NC_OK);
    for (const cJSON *file = root->child; file; file = file->next) {
        if (!file->child)
            continue;
        struct nc_tensors *tensors;
        char path[256];
        snprintf(path, sizeof path, FOLDER "/%s", file->string);
        if (nc_tensors_open(path, &tensors) != NC_OK)
            fail_msg("%s", nc_error_message());
        assert_int_equal(nc_tensors_count(tensors), cJSON_GetArraySize(file));
        for (const cJSON *item = file->child; item; item = item->next)
            assert_tensor(file->string, nc_tensors_find(tensors, item->string), item);
        nc_tensors_close(tensors);
        files++;
    }
    cJSON_Delete(root);
    assert_true(files >= 9);
}

static void what_is_no_state_dict_is_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *file, *words;
    } cases[] = {
        {"namespace.pt", "asks for argparse.Namespace"},
        {"old.pt", "PyTorch's format of before 1.6"},
        {"nothing.pt", "holds no state dict"},
        {"expanded.pt", "tensor \"expanded\" repeats its numbers"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct nc_tensors *tensors;
        char path[256];
        snprintf(path, sizeof path, FOLDER "/%s", cases[i].file);
        assert_int_equal(nc_tensors_open(path, &tensors), NC_BAD_INPUT);
        assert_null(tensors);
        if (!strstr(nc_error_message(), cases[i].words))
            fail_msg("%s: %s", cases[i].file, nc_error_message());
    }
}

/* ---- Hostile bytes ---- */

static uint32_t state_of_random = 1;

static uint32_t next(uint32_t below)
{
    state_of_random = state_of_random * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)state_of_random * below) >> 32);
}

/* Reads every byte of every tensor, so that a sanitizer sees what lies outside. */
static unsigned read_all(const char *path)
{
    struct nc_tensors *tensors;
    unsigned sum = 0;
    if (nc_tensors_open(path, &tensors) != NC_OK) {
        assert_null(tensors);
        assert_true(*nc_error_message());
        return 0;
    }
    for (size_t i = 0; i < nc_tensors_count(tensors); i++) {
        const struct nc_tensor *tensor = nc_tensors_at(tensors, i);
        for (size_t k = 0; k < tensor->bytes; k++)
            sum += tensor->data[k];
        nc_tensors_release(tensors, tensor, 0, tensor->bytes);
    }
    nc_tensors_close(tensors);
    return sum;
}

static const char *const files[] = {"kinds.pt", "protocol5.pt", "views.pt", "training.pt",
                                    "script.pt"};
enum { FILES = sizeof files / sizeof files[0], ROUNDS = 500 };

static void load(size_t file, char **bytes, size_t *size)
{
    char path[256];
    snprintf(path, sizeof path, FOLDER "/%s", files[file]);
    assert_int_equal(nc_file_read(path, 1 << 20, bytes, size), NC_OK);
}

/* A block of exactly `size` bytes, so that a sanitizer sees what is read behind it, with some of
 * them changed. */
static uint8_t *damaged_copy(const void *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    for (size_t changes = next(4); size && changes-- > 0;)
        copy[next((uint32_t)size)] = (uint8_t)next(256);
    return copy;
}

static void damaged_archives_are_refused_or_stay_inside(void **state)
{
    (void)state;
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "damaged.pt");
    for (size_t file = 0; file < FILES; file++) {
        char *bytes;
        size_t size;
        load(file, &bytes, &size);
        for (size_t round = 0; round < ROUNDS; round++) {
            size_t length = round % 4 ? size : next((uint32_t)size);
            uint8_t *copy = damaged_copy(bytes, length);
            FILE *out = fopen(path, "wb");
            assert_non_null(out);
            assert_int_equal(fwrite(copy, 1, length, out), length);
            assert_int_equal(fclose(out), 0);
            read_all(path);
            free(copy);
        }
        free(bytes);
    }
    free(path);
    temporary_folder_remove(folder);
}

/* Past the archive's checksum. */
static void damaged_pickles_are_refused_or_end(void **state)
{
    (void)state;
    for (size_t file = 0; file < FILES; file++) {
        char *bytes;
        size_t size;
        load(file, &bytes, &size);
        struct nc_zip *zip;
        assert_int_equal(nc_zip_open("x", (const uint8_t *)bytes, size, &zip), NC_OK);
        const struct nc_zip_member *member = NULL;
        for (size_t i = 0; i < nc_zip_count(zip); i++) {
            member = nc_zip_at(zip, i);
            if (member->name_length > 9 &&
                memcmp(member->name + member->name_length - 9, "/data.pkl", 9) == 0)
                break;
        }
        for (size_t round = 0; round < 10 * ROUNDS; round++) {
            size_t length = round % 4 ? member->size : next((uint32_t)member->size);
            uint8_t *copy = damaged_copy(member->data, length);
            struct nc_pickle *pickle;
            const struct nc_pickle_value *root;
            if (nc_pickle_read("x", copy, length, &pickle, &root) == NC_OK)
                assert_in_range(root->kind, NC_PICKLE_OTHER, NC_PICKLE_NAME);
            else
                assert_null(pickle);
            nc_pickle_free(pickle);
            free(copy);
        }
        nc_zip_close(zip);
        free(bytes);
    }
}

static int read_pickle(const char *bytes, size_t size)
{
    struct nc_pickle *pickle;
    const struct nc_pickle_value *root;
    int status = nc_pickle_read("x", (const uint8_t *)bytes, size, &pickle, &root);
    nc_pickle_free(pickle);
    return status;
}
#define READ(text) read_pickle(text, sizeof text - 1)

static void pickles_that_would_run_something_are_refused(void **state)
{
    (void)state;
    static const char *const programs[] = {"cos\nsystem\n(S'true'\ntR.", "cbuiltins\neval\nq\0.",
                                           "cposix\nsystem\n."};
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        assert_int_equal(read_pickle(programs[i], strlen(programs[i]) + (i == 1)), NC_BAD_INPUT);
        assert_non_null(strstr(nc_error_message(), "which is no part of a state dict"));
    }
    assert_int_equal(READ("\x80\2ccollections\nOrderedDict\n)R."), NC_OK);
    assert_int_equal(READ("\x80\2ccollections\nOrderedDict\nK\1R."), NC_BAD_INPUT);
    assert_int_equal(READ("\x80\2P1\n."), NC_BAD_INPUT); /* a persistent id as text */
    assert_int_equal(READ("\x80\2]q\0h\0a."), NC_OK);    /* a list in itself */
    assert_int_equal(READ("\x80\2r\xff\xff\xff\xff."), NC_BAD_INPUT);
    assert_int_equal(READ("\x80\2Nr\xff\xff\xff\x7f."), NC_BAD_INPUT);
    assert_int_equal(READ("\x80\2X\xff\xff\xff\xff."), NC_BAD_INPUT);
    assert_int_equal(READ("\x80\2(((((t."), NC_OK);
    assert_int_equal(READ("\x80\2(."), NC_BAD_INPUT);
    assert_int_equal(READ(""), NC_BAD_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tensor_is_as_pytorch_reads_it),
        cmocka_unit_test(what_is_no_state_dict_is_refused_by_name),
        cmocka_unit_test(damaged_archives_are_refused_or_stay_inside),
        cmocka_unit_test(damaged_pickles_are_refused_or_end),
        cmocka_unit_test(pickles_that_would_run_something_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
