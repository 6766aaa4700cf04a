/* The journal of answers: what is appended is found, also after a kill, a full disk and damage. */
#include "../support/temporary_folder.h"
#include "nclip/chat/journal.h"
#include "nclip/support/error.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { RECORDS = 5 };
enum { HEADING = sizeof "nclip journal 1\n" - 1 };

static void key_of(size_t number, char key[NC_JOURNAL_KEY])
{
    snprintf(key, NC_JOURNAL_KEY, "%032zx", number * 0x12345 + 7);
}

static void append(struct nc_journal *journal, size_t number)
{
    char key[NC_JOURNAL_KEY];
    cJSON *record = cJSON_CreateObject();
    key_of(number, key);
    cJSON_AddStringToObject(record, "answer", "\"line\"\nfeed \xc3\xa9");
    cJSON_AddNumberToObject(record, "number", (double)number);
    if (nc_journal_append(journal, key, record) != NC_OK)
        fail_msg("%s", nc_error_message());
    cJSON_Delete(record);
}

static bool has(const struct nc_journal *journal, size_t number)
{
    char key[NC_JOURNAL_KEY];
    cJSON *record;
    key_of(number, key);
    assert_int_equal(nc_journal_find(journal, key, &record), NC_OK);
    if (!record)
        return false;
    assert_string_equal(cJSON_GetObjectItem(record, "answer")->valuestring,
                        "\"line\"\nfeed \xc3\xa9");
    assert_int_equal(cJSON_GetObjectItem(record, "number")->valueint, number);
    cJSON_Delete(record);
    return true;
}

static struct nc_journal *open_at(const char *path)
{
    struct nc_journal *journal;
    if (nc_journal_open(path, &journal) != NC_OK)
        fail_msg("%s", nc_error_message());
    return journal;
}

/* A folder with a journal of RECORDS records; its bytes are the caller's. */
static char *make(char **path, char **bytes, size_t *size)
{
    char *folder = temporary_folder_create();
    *path = nc_path_join(folder, "journal");
    struct nc_journal *journal = open_at(*path);
    for (size_t i = 0; i < RECORDS; i++)
        append(journal, i);
    assert_int_equal(nc_journal_sync(journal), NC_OK);
    for (size_t i = 0; i < RECORDS; i++)
        assert_true(has(journal, i));
    assert_false(has(journal, RECORDS));
    nc_journal_close(journal);
    assert_int_equal(nc_file_read(*path, 1 << 20, bytes, size), NC_OK);
    return folder;
}

/* Without the care, and the time, of nc_file_write(). */
static void put(const char *path, const char *bytes, size_t size)
{
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    fclose(out);
}

static void done(char *folder, char *path, char *bytes)
{
    free(path);
    free(bytes);
    temporary_folder_remove(folder);
}

static void test_reopened(void **context)
{
    (void)context;
    char *path, *bytes;
    size_t size, line;
    char *folder = make(&path, &bytes, &size);
    struct nc_journal *journal = open_at(path), *second;
    assert_int_equal(nc_journal_count(journal), RECORDS);
    assert_int_equal(nc_journal_damaged(journal, &line), 0);
    assert_int_equal(nc_journal_cut(journal), 0);
    append(journal, 2); /* is there: the first record stays */
    assert_int_equal(nc_journal_count(journal), RECORDS);
    assert_int_equal(nc_journal_open(path, &second), NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "another process is writing there"));
    nc_journal_close(journal);
    journal = open_at(path);
    assert_true(has(journal, 2));
    nc_journal_close(journal);
    done(folder, path, bytes);
}

/* Killed after any number of bytes: what was complete is there, and the journal goes on. */
static void test_torn_anywhere(void **context)
{
    (void)context;
    char *path, *bytes;
    size_t size, line;
    char *folder = make(&path, &bytes, &size);
    for (size_t length = 0; length <= size; length++) {
        size_t complete = 0, torn = length;
        for (size_t i = 0; i < length; i++) {
            complete += bytes[i] == '\n';
            torn = bytes[i] == '\n' ? length - i - 1 : torn;
        }
        complete -= complete > 0; /* the heading */
        put(path, bytes, length);
        struct nc_journal *journal = open_at(path);
        assert_int_equal(nc_journal_count(journal), complete);
        assert_int_equal(nc_journal_cut(journal), torn);
        /* Shorter than what was torn: nothing of that may stay behind it. */
        cJSON *record = cJSON_CreateObject();
        cJSON_AddStringToObject(record, "a", "");
        assert_int_equal(nc_journal_append(journal, "00000000000000000000000000000000", record),
                         NC_OK);
        cJSON_Delete(record);
        nc_journal_close(journal);
        journal = open_at(path);
        assert_int_equal(nc_journal_count(journal), complete + 1);
        assert_int_equal(nc_journal_damaged(journal, &line), 0);
        assert_int_equal(nc_journal_cut(journal), 0);
        for (size_t i = 0; i < complete; i++)
            assert_true(has(journal, i));
        nc_journal_close(journal);
    }
    done(folder, path, bytes);
}

/* Any byte is another: the file is refused as it is, or one or two records are passed over and
 * all others are right. */
static void test_damaged_anywhere(void **context)
{
    (void)context;
    static const unsigned char flips[] = {0x01, 0x80, 0xff, 0};
    char *path, *bytes;
    size_t size, line;
    char *folder = make(&path, &bytes, &size);
    for (size_t at = 0; at < size; at++) {
        for (size_t flip = 0; flip < sizeof flips; flip++) {
            char *damaged = malloc(size), *after;
            size_t after_size, found = 0;
            memcpy(damaged, bytes, size);
            damaged[at] = flips[flip] ? (char)(damaged[at] ^ flips[flip]) : '\n';
            if (damaged[at] == bytes[at]) {
                free(damaged);
                continue;
            }
            put(path, damaged, size);
            struct nc_journal *journal;
            int status = nc_journal_open(path, &journal);
            if (at < HEADING) {
                assert_int_equal(status, NC_BAD_INPUT);
                assert_non_null(strstr(nc_error_message(), "no journal of nclip"));
                assert_int_equal(nc_file_read(path, 1 << 20, &after, &after_size), NC_OK);
                assert_int_equal(after_size, size);
                assert_memory_equal(after, damaged, size);
                free(after);
                free(damaged);
                continue;
            }
            assert_int_equal(status, NC_OK);
            for (size_t i = 0; i < RECORDS; i++)
                found += has(journal, i);
            assert_in_range(found, RECORDS - 2, RECORDS - 1);
            assert_int_equal(nc_journal_count(journal), found);
            assert_true(nc_journal_damaged(journal, &line) > 0 || nc_journal_cut(journal) > 0);
            nc_journal_close(journal);
            free(damaged);
        }
    }
    done(folder, path, bytes);
}

static void test_not_a_journal(void **context)
{
    (void)context;
    static const char *const contents[] = {"{\"annotations\": []}", "nclip journal 2\n", "\n", "x"};
    char *folder = temporary_folder_create(), *path = nc_path_join(folder, "captions.json"), *text;
    size_t size;
    struct nc_journal *journal;
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        put(path, contents[i], strlen(contents[i]));
        assert_int_equal(nc_journal_open(path, &journal), NC_BAD_INPUT);
        assert_null(journal);
        assert_int_equal(nc_file_read(path, 1 << 20, &text, &size), NC_OK);
        assert_string_equal(text, contents[i]);
        free(text);
    }
    assert_int_equal(nc_journal_open(folder, &journal), NC_FAILED); /* a folder */
    assert_int_equal(nc_journal_open("/dev/null", &journal), NC_BAD_INPUT);
    free(path);
    temporary_folder_remove(folder);
}

/* What does not fit any more leaves no trace. */
static void test_full_disk(void **context)
{
    (void)context;
    char *path, *bytes, *text;
    size_t size, after;
    char *folder = make(&path, &bytes, &size);
    struct nc_journal *journal = open_at(path);
    struct rlimit before, limit;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    limit = (struct rlimit){size + 20, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    cJSON *record = cJSON_CreateObject();
    cJSON_AddStringToObject(record, "answer", "does not fit");
    int status = nc_journal_append(journal, "00000000000000000000000000000000", record);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, NC_FAILED);
    assert_non_null(strstr(nc_error_message(), "cannot write"));
    assert_int_equal(nc_file_read(path, 1 << 20, &text, &after), NC_OK);
    assert_int_equal(after, size);
    free(text);
    assert_int_equal(nc_journal_append(journal, "00000000000000000000000000000000", record), NC_OK);
    cJSON_Delete(record);
    nc_journal_close(journal);
    journal = open_at(path);
    assert_int_equal(nc_journal_count(journal), RECORDS + 1);
    nc_journal_close(journal);
    done(folder, path, bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reopened),         cmocka_unit_test(test_torn_anywhere),
        cmocka_unit_test(test_damaged_anywhere), cmocka_unit_test(test_not_a_journal),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
