/* metrics.jsonl and TensorBoard's files, written and resumed. */
#include "../../host/train/metrics.h"
#include "../../host/train/tensorboard.h"
#include "../support/golden_events.h"
#include "../support/temporary_folder.h"
#include "nclip/support/crc32c.h"
#include "nclip/support/error.h"
#include "nclip/support/files.h"
#include "nclip/support/number.h"

#include <dirent.h>
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder of its own for each test. */
struct run {
    char *folder, *file;
};

static int make_run(void **state)
{
    static struct run run;
    run.folder = temporary_folder_create();
    run.file = nc_path_join(run.folder, "metrics.jsonl");
    *state = &run;
    return run.file ? 0 : -1;
}

static int remove_run(void **state)
{
    struct run *run = *state;
    temporary_folder_remove(run->folder);
    free(run->file);
    return 0;
}

static void expect_file(const struct run *run, const char *expected)
{
    char *text;
    size_t size;
    assert_int_equal(nc_file_read(run->file, 1 << 20, &text, &size), NC_OK);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    free(text);
}

static size_t count_files(const struct run *run, const char *part)
{
    DIR *directory = opendir(run->folder);
    assert_non_null(directory);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        count += strstr(entry->d_name, part) != NULL;
    closedir(directory);
    return count;
}

/* RFC 3720, B.4, and the usual check value. */
static void crc32c_known_vectors(void **state)
{
    (void)state;
    unsigned char bytes[32];
    assert_int_equal(nc_crc32c("", 0), 0);
    assert_int_equal(nc_crc32c("123456789", 9), 0xe3069283);
    memset(bytes, 0, 32);
    assert_int_equal(nc_crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(nc_crc32c(bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)i;
    assert_int_equal(nc_crc32c(bytes, 32), 0x46dd794e);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (unsigned char)(31 - i);
    assert_int_equal(nc_crc32c(bytes, 32), 0x113fdb5c);
}

static void event_is_tensorboards(void **state)
{
    (void)state;
    const struct nc_metric values[] = {{"loss", 0.1}, {"train_epoch", 3}, {"learning_rate", 1e-6}};
    size_t size;
    uint8_t *record = nc_events_record(1700000000.25, "train", 70000, values, 3, &size);
    assert_non_null(record);
    assert_int_equal(size, sizeof golden_event);
    assert_memory_equal(record, golden_event, size);
    free(record);
}

static void numbers_read_back(void **state)
{
    (void)state;
    static const double values[] = {0.1,    1.0 / 3, 1e-6,    -0.0,         DBL_MAX, DBL_MIN,
                                    5e-324, 1e300,   123.456, 0x1p53 + 2.0, -1e-5,   M_PI};
    char text[NC_NUMBER_SIZE];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        assert_true(strtod(nc_number_text(values[i], text), NULL) == values[i]);
    assert_string_equal(nc_number_text(0.1, text), "0.1");
    assert_string_equal(nc_number_text(1000, text), "1000");
    assert_string_equal(nc_number_text(-7, text), "-7");
    assert_string_equal(nc_number_text(9007199254740992, text), "9007199254740992");
    assert_string_equal(nc_number_text(-NAN, text), "nan");
    assert_string_equal(nc_number_text(-INFINITY, text), "-inf");
    assert_string_equal(nc_float_text(1e-5f, text), "1e-05");
    assert_string_equal(nc_float_text(2.6592f, text), "2.6592");
    assert_true(strtof(nc_float_text(0.48145466f, text), NULL) == 0.48145466f);
    assert_string_equal(nc_float_text(-NAN, text), "nan");
}

static void write_steps(const struct run *run, uint64_t resume, uint64_t first, uint64_t last)
{
    struct nc_metrics *metrics;
    if (nc_metrics_open(run->folder, resume, &metrics) != NC_OK)
        fail_msg("%s", nc_error_message());
    for (uint64_t step = first; step <= last; step++) {
        const struct nc_metric values[] = {{"epoch", 1}, {"loss", 1.0 / (double)step}};
        assert_int_equal(nc_metrics_write(metrics, "train", step, values, 2), NC_OK);
    }
    assert_int_equal(nc_metrics_flush(metrics), NC_OK);
    nc_metrics_close(metrics);
}

static const char four_steps[] = "{\"step\": 1, \"epoch\": 1, \"loss\": 1}\n"
                                 "{\"step\": 2, \"epoch\": 1, \"loss\": 0.5}\n"
                                 "{\"step\": 3, \"epoch\": 1, \"loss\": 0.3333333333333333}\n"
                                 "{\"step\": 4, \"epoch\": 1, \"loss\": 0.25}\n";

static void writes_lines(void **state)
{
    struct run *run = *state;
    write_steps(run, 0, 1, 4);
    expect_file(run, four_steps);
    assert_int_equal(count_files(run, "tfevents"), 1);
}

static void not_finite_is_null(void **state)
{
    struct run *run = *state;
    struct nc_metrics *metrics;
    assert_int_equal(nc_metrics_open(run->folder, 0, &metrics), NC_OK);
    const struct nc_metric values[] = {{"loss", NAN}, {"x", INFINITY}, {"validation_loss", 1e-6}};
    assert_int_equal(nc_metrics_write(metrics, "validation", UINT64_MAX, values, 3), NC_OK);
    nc_metrics_close(metrics);
    expect_file(run, "{\"step\": 18446744073709551615, \"loss\": null, \"x\": null, "
                     "\"validation_loss\": 1e-06}\n");
}

static void resuming_reads_as_never_stopped(void **state)
{
    struct run *run = *state;
    write_steps(run, 0, 1, 3);
    write_steps(run, 2, 3, 4);
    expect_file(run, four_steps);
    assert_int_equal(count_files(run, "tfevents"), 2);
    assert_int_equal(count_files(run, "partial"), 0);
}

static void append_text(const struct run *run, const char *text, size_t size)
{
    FILE *file = fopen(run->file, "a");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void resuming_cuts_a_torn_end(void **state)
{
    struct run *run = *state;
    static const char *const torn[] = {"{\"step\": 3, \"epo", "{\"step\": 1}", "{", "\n",
                                       "{}\n[1]\n"};
    for (size_t i = 0; i < sizeof torn / sizeof *torn; i++) {
        write_steps(run, 0, 1, 2);
        append_text(run, torn[i], strlen(torn[i]));
        write_steps(run, 2, 3, 4);
        expect_file(run, four_steps);
    }
    /* what a power failure leaves */
    write_steps(run, 0, 1, 2);
    append_text(run, "\0\0\0\0\n\0\0", 7);
    write_steps(run, 2, 3, 4);
    expect_file(run, four_steps);
}

static void damage_in_the_middle_is_named(void **state)
{
    struct run *run = *state;
    struct nc_metrics *metrics;
    write_steps(run, 0, 1, 1);
    append_text(run, "{\"step\": 2, \n{\"step\": 3, \"loss\": 1}\n", 37);
    assert_int_equal(nc_metrics_open(run->folder, 3, &metrics), NC_BAD_INPUT);
    assert_non_null(strstr(nc_error_message(), "metrics.jsonl: line 2"));
    assert_null(metrics);
    assert_int_equal(count_files(run, "partial"), 0);
}

static void starting_afresh_empties_the_file(void **state)
{
    struct run *run = *state;
    write_steps(run, 0, 7, 9);
    write_steps(run, 0, 1, 4);
    expect_file(run, four_steps);
}

static void resuming_without_a_file(void **state)
{
    struct run *run = *state;
    write_steps(run, 2, 3, 3);
    expect_file(run, "{\"step\": 3, \"epoch\": 1, \"loss\": 0.3333333333333333}\n");
}

static void missing_folder_and_full_disk(void **state)
{
    (void)state;
    struct nc_metrics *metrics;
    assert_int_equal(nc_metrics_open("/nonexistent/run", 0, &metrics), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "/nonexistent/run"));

    struct run *run = *state;
    if (symlink("/dev/full", run->file) != 0 || access("/dev/full", W_OK) != 0)
        skip();
    const struct nc_metric value = {"loss", 1};
    assert_int_equal(nc_metrics_open(run->folder, 0, &metrics), NC_OK);
    int status = nc_metrics_write(metrics, "train", 1, &value, 1);
    if (status == NC_OK)
        status = nc_metrics_flush(metrics);
    assert_int_equal(status, NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "No space left"));
    nc_metrics_close(metrics);
}

int main(int argc, char **argv)
{
    if (argc == 2) { /* leaves a resumed run behind, for check_events.py */
        struct run run = {.folder = argv[1]};
        if (nc_folder_create(run.folder) != NC_OK)
            return 1;
        write_steps(&run, 0, 1, 300);
        write_steps(&run, 250, 251, 400);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_known_vectors),
        cmocka_unit_test(event_is_tensorboards),
        cmocka_unit_test(numbers_read_back),
        cmocka_unit_test_setup_teardown(writes_lines, make_run, remove_run),
        cmocka_unit_test_setup_teardown(not_finite_is_null, make_run, remove_run),
        cmocka_unit_test_setup_teardown(resuming_reads_as_never_stopped, make_run, remove_run),
        cmocka_unit_test_setup_teardown(resuming_cuts_a_torn_end, make_run, remove_run),
        cmocka_unit_test_setup_teardown(damage_in_the_middle_is_named, make_run, remove_run),
        cmocka_unit_test_setup_teardown(starting_afresh_empties_the_file, make_run, remove_run),
        cmocka_unit_test_setup_teardown(resuming_without_a_file, make_run, remove_run),
        cmocka_unit_test_setup_teardown(missing_folder_and_full_disk, make_run, remove_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
