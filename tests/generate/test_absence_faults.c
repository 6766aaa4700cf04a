/* A thousand captions, a server that fails in every way, and three kills: the result is that of
 * an undisturbed run, and nothing that was answered is asked again. */
#include "../chat/rule_model.h"
#include "../support/temporary_folder.h"
#include "nclip/generate/absence.h"
#include "nclip/support/error.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { CAPTIONS = 1000, PICTURES = 40, CONCURRENCY = 8 };

static const char png[] = "\x89PNG\r\n\x1a\n";

static char *path_of(const char *folder, const char *name)
{
    char *path = nc_path_join(folder, name);
    assert_non_null(path);
    return path;
}

/* Pictures that differ by a byte, and captions of them. */
static void write_inputs(const char *folder)
{
    static const char *const who[] = {"A man", "Two women", "A child's toy", "A group of people",
                                      "An old dog"};
    static const char *const does[] = {"standing", "lying", "sitting", "waiting"};
    static const char *const where[] = {"in a park", "on a bench", "beside a car", "at a table",
                                        "near the sea"};
    char *images = path_of(folder, "images"), *captions = path_of(folder, "captions.json");
    assert_int_equal(nc_folder_create(images), NC_OK);
    for (int i = 0; i < PICTURES; i++) {
        char name[32], bytes[64];
        snprintf(name, sizeof name, "%d.png", i);
        memset(bytes, i, sizeof bytes);
        memcpy(bytes, png, 8);
        char *path = path_of(images, name);
        assert_int_equal(nc_file_write(path, bytes, sizeof bytes), NC_OK);
        free(path);
    }
    FILE *out = fopen(captions, "w");
    assert_non_null(out);
    fprintf(out, "{\"images\": [");
    for (int i = 0; i < PICTURES; i++)
        fprintf(out, "%s{\"id\": %d, \"file_name\": \"%d.png\"}", i ? ", " : "", 1000 + i, i);
    fprintf(out, "], \"annotations\": [");
    for (int i = 0; i < CAPTIONS; i++)
        fprintf(out, "%s\n{\"id\": %d, \"image_id\": %d, \"caption\": \"%s number %d %s %s.\"}",
                i ? "," : "", 5 * i, 1000 + i * 7 % PICTURES, who[i % 5], i % 97, does[i % 4],
                where[i / 3 % 5]);
    fprintf(out, "]}");
    fclose(out);
    free(images);
    free(captions);
}

/* nc_absence_generate() with everything in `folder` and the output's name; returns its status. */
static int generate(const char *folder, const char *url, const char *name)
{
    char *images = path_of(folder, "images"), *captions = path_of(folder, "captions.json");
    char *out = path_of(folder, name), *journal = NULL;
    struct nc_chat_options options;
    struct nc_absence_counts counts;
    struct nc_prompts prompts;
    struct nc_synonyms *synonyms = NULL;
    struct nc_chat *chat = NULL;
    if (asprintf(&journal, "%s.journal", out) < 0)
        return NC_FAILED;
    nc_chat_defaults(&options);
    options.servers[NC_CHAT_TEXT].url = options.servers[NC_CHAT_VISION].url = url;
    options.servers[NC_CHAT_TEXT].model = options.servers[NC_CHAT_VISION].model = "rule";
    options.journal = journal;
    options.concurrency = CONCURRENCY;
    options.backoff = 0.005;
    int status = nc_prompts_load(NULL, &prompts);
    if (status == NC_OK)
        status = nc_synonyms_load(NULL, &synonyms);
    if (status == NC_OK)
        status = nc_chat_create(&options, &chat);
    if (status == NC_OK)
        status = nc_absence_generate(&(struct nc_absence_options){.captions = captions,
                                                                  .images = images,
                                                                  .vision_check = true,
                                                                  .temperature = 0.6,
                                                                  .top_p = 0.9,
                                                                  .seed = 7,
                                                                  .prompts = &prompts,
                                                                  .synonyms = synonyms},
                                     chat, out, &counts);
    if (status != NC_OK)
        fprintf(stdout, "generate: %s\n", nc_error_message());
    nc_chat_destroy(chat);
    nc_synonyms_destroy(synonyms);
    nc_prompts_free(&prompts);
    free(journal);
    free(out);
    free(captions);
    free(images);
    return status;
}

static pid_t begin(const char *folder, const char *url, const char *name)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, STDERR_FILENO); /* progress */
        int status = generate(folder, url, name);
        fflush(NULL);
        _exit(status);
    }
    assert_true(child > 0);
    return child;
}

static int end(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *read_text(const char *folder, const char *name, size_t *size)
{
    char *path = path_of(folder, name), *text;
    if (nc_file_read(path, (size_t)1 << 30, &text, size) != NC_OK)
        fail_msg("%s", nc_error_message());
    free(path);
    return text;
}

static void assert_same_output(const char *folder, const char *name)
{
    size_t expected_size, size;
    char *expected = read_text(folder, "undisturbed.json", &expected_size);
    char *text = read_text(folder, name, &size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(text, expected, size);
    free(expected);
    free(text);
}

static size_t size_of(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 ? (size_t)information.st_size : 0;
}

/* Waits until the journal has grown to `size` bytes, then kills without mercy. */
static void kill_at(pid_t child, const char *journal, size_t size)
{
    while (size_of(journal) < size) {
        assert_int_equal(waitpid(child, NULL, WNOHANG), 0); /* it must not end by itself */
        usleep(500);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* Lines of the log from `from` on whose key has a record in the journal. */
static size_t asked_again(const char *folder, const char *journal_name, const char *log_name,
                          size_t from, size_t to)
{
    char *path = path_of(folder, journal_name);
    size_t size, again = 0;
    char *log = read_text(folder, log_name, &size);
    struct nc_journal *journal;
    if (nc_journal_open(path, &journal) != NC_OK)
        fail_msg("%s", nc_error_message());
    for (size_t at = from; at < size && at < to;) {
        char key[NC_JOURNAL_KEY] = "";
        cJSON *record;
        sscanf(log + at, "%32s", key);
        assert_int_equal(nc_journal_find(journal, key, &record), NC_OK);
        again += record != NULL;
        cJSON_Delete(record);
        at += strcspn(log + at, "\n") + 1;
    }
    nc_journal_close(journal);
    free(log);
    free(path);
    return again;
}

/* How many requests of a key were answered beyond the first. */
static size_t answered_twice(const char *folder, const char *log_name)
{
    size_t size, count = 0, twice = 0;
    char *log = read_text(folder, log_name, &size), *rest = log, *line;
    char(*keys)[NC_JOURNAL_KEY] = calloc(size / 40 + 1, sizeof *keys);
    while ((line = strsep(&rest, "\n"))) {
        if (strstr(line, " answered"))
            snprintf(keys[count++], sizeof *keys, "%.32s", line);
    }
    qsort(keys, count, sizeof *keys, (int (*)(const void *, const void *))strcmp);
    for (size_t i = 1; i < count; i++)
        twice += strcmp(keys[i], keys[i - 1]) == 0;
    assert_true(count > CAPTIONS);
    free(keys);
    free(log);
    return twice;
}

static void test_kills(void **context)
{
    (void)context;
    struct rule_model calm = {.seed = 3, .wrong = 12},
                      wild = {.seed = 3, .wrong = 12, .faults = 35};
    struct server server;
    char *folder = temporary_folder_create();
    write_inputs(folder);
    char *log = path_of(folder, "calm.log"), *wild_log = path_of(folder, "wild.log");
    char *kill_log = path_of(folder, "kill.log"), *journal = path_of(folder, "killed.json.journal");

    server_start(&server, rule_model_answer, &calm, log);
    assert_int_equal(end(begin(folder, server.url, "undisturbed.json")), NC_OK);
    server_stop(&server);
    assert_int_equal(answered_twice(folder, "calm.log"), 0);

    /* Faults alone. */
    server_start(&server, rule_model_answer, &wild, wild_log);
    assert_int_equal(end(begin(folder, server.url, "faults.json")), NC_OK);
    server_stop(&server);
    assert_same_output(folder, "faults.json");
    assert_int_equal(answered_twice(folder, "wild.log"), 0);

    /* Faults and kills; one of them in the middle of a write. */
    char *whole_journal = path_of(folder, "faults.json.journal");
    size_t whole = size_of(whole_journal);
    server_start(&server, rule_model_answer, &wild, kill_log);
    for (unsigned kills = 0; kills < 3; kills++) {
        size_t share = 10 + 27 * kills + server_hash(kills, "kill", NULL) % 20; /* percent */
        kill_at(begin(folder, server.url, "killed.json"), journal, whole / 100 * share);
        if (kills == 1)
            assert_int_equal(truncate(journal, (off_t)(size_of(journal) - 25)), 0);
        usleep(300000); /* what was under way arrives at the log */
        char *copy = path_of(folder, "copy.journal");
        size_t size, before = size_of(kill_log);
        char *bytes = read_text(folder, "killed.json.journal", &size);
        assert_int_equal(nc_file_write(copy, bytes, size), NC_OK);
        assert_true(size >= whole / 100 * share - 25 && size < whole);
        /* The next run is judged by what the journal held when it began. */
        if (kills == 2) {
            assert_int_equal(end(begin(folder, server.url, "killed.json")), NC_OK);
        } else {
            kill_at(begin(folder, server.url, "killed.json"), journal, size + whole / 50);
        }
        assert_int_equal(asked_again(folder, "copy.journal", "kill.log", before, SIZE_MAX), 0);
        free(bytes);
        free(copy);
    }
    server_stop(&server);
    assert_same_output(folder, "killed.json");
    /* Only what was under way at a kill can have been answered twice. */
    assert_true(answered_twice(folder, "kill.log") <= 5 * (2 * CONCURRENCY + 1));

    /* The journal alone gives the same. */
    assert_int_equal(end(begin(folder, "http://127.0.0.1:9", "killed.json")), NC_OK);
    assert_same_output(folder, "killed.json");

    free(whole_journal);
    free(journal);
    free(kill_log);
    free(wild_log);
    free(log);
    temporary_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kills)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
