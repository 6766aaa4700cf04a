/* The chat client against a server that answers as each test says. */
#include "talk.h"

/* ---- What is sent, and what is kept -------------------------------------------------- */

static void echo(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    char *text = NULL;
    if (asprintf(&text, "%s %s %s", request->path, request->authorization, request->body) < 0)
        abort();
    reply->body = server_completion(text, strstr(request->body, "question 1") ? "length" : "stop");
    free(text);
}

static void test_request(void **context)
{
    (void)context;
    static const char *const bases[] = {
        "", "/", "/v1", "/v1/", "/v1/chat/completions", "/openai?version=2"};
    static const char *const paths[] = {
        "/v1/chat/completions ", "/v1/chat/completions ", "/v1/chat/completions ",
        "/v1/chat/completions ", "/v1/chat/completions ", "/openai/chat/completions?version=2 "};
    struct talk *talk = talk_begin(echo, 2);
    char url[128];
    unsetenv("NCLIP_TEXT_API_KEY");
    setenv("OPENAI_API_KEY", "sk-common", 1);
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        snprintf(url, sizeof url, "%s%s", talk->server.url, bases[i]);
        talk->options.servers[NC_CHAT_TEXT].url = url;
        remove(talk->journal);
        assert_ok(talk_run(talk));
        assert_memory_equal(talk->answers[0].text, paths[i], strlen(paths[i]));
    }
    assert_non_null(strstr(talk->answers[0].text, " Bearer sk-common {"));
    static const char body[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"be \\\"brief\\\"\"},"
        "{\"role\":\"user\",\"content\":\"question 0\"}],\"temperature\":0.6,\"top_p\":0.9,"
        "\"seed\":11,\"max_tokens\":5,\"stream\":false}";
    assert_string_equal(strchr(talk->answers[0].text, '{'), body);
    assert_false(talk->answers[0].cut);
    assert_true(talk->answers[1].cut);
    assert_int_equal(talk->counts.prompt_tokens, 14);
    assert_int_equal(talk->counts.completion_tokens, 6);

    /* Once more: everything is remembered, nothing is sent. */
    assert_ok(talk_run(talk));
    assert_int_equal(talk->counts.sent, 0);
    assert_int_equal(talk->counts.remembered, 2);
    assert_true(talk->answers[1].cut);
    assert_string_equal(strchr(talk->answers[0].text, '{'), body);

    /* The server's own variable comes first. */
    setenv("NCLIP_TEXT_API_KEY", "own", 1);
    remove(talk->journal);
    assert_ok(talk_run(talk));
    assert_non_null(strstr(talk->answers[0].text, " Bearer own {"));
    setenv("NCLIP_TEXT_API_KEY", "own\r\nX-Evil: 1", 1);
    assert_int_equal(talk_run(talk), NC_USAGE);
    assert_says("NCLIP_TEXT_API_KEY holds");
    unsetenv("NCLIP_TEXT_API_KEY");
    unsetenv("OPENAI_API_KEY");
    talk_finish(talk);
}

static void test_same_question_once(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(echo, 20);
    talk->same = "the same";
    assert_ok(talk_run(talk));
    assert_int_equal(talk->counts.sent, 1);
    for (size_t i = 0; i < 20; i++)
        assert_string_equal(talk->answers[i].text, talk->answers[0].text);
    talk_finish(talk);
}

static void test_picture(void **context)
{
    (void)context;
    static const char *const expected[] = {"/9j/", "/9j/AA==", "/9j/AAE=", "/9j/AAEC"};
    static const uint8_t bytes[] = {0xff, 0xd8, 0xff, 0, 1, 2};
    struct talk *talk = talk_begin(echo, 1);
    for (size_t i = 0; i < 4; i++) {
        char part[256];
        talk->picture = bytes;
        talk->picture_size = 3 + i;
        assert_ok(talk_run(talk));
        assert_int_equal(talk->counts.sent, 1); /* another picture is another question */
        snprintf(part, sizeof part,
                 "{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":"
                 "\"data:image/jpeg;base64,%s\",\"detail\":\"auto\"}},{\"type\":\"text\",\"text\":"
                 "\"question 0\"}]}",
                 expected[i]);
        if (!strstr(talk->answers[0].text, part))
            fail_msg("%s is not in %s", part, talk->answers[0].text);
    }
    talk_finish(talk);
}

/* ---- Failures that pass --------------------------------------------------------------- */

static void fail_once(void *context, const struct server_request *request,
                      struct server_reply *reply)
{
    static const int statuses[] = {429, 500, 502, 503, 408, 204};
    (void)context;
    const char *number = strstr(request->body, "question ");
    size_t question = number ? strtoul(number + 9, NULL, 10) : 0;
    reply->body = server_completion("good", "stop");
    if (request->attempt > 0)
        return;
    if (question < 6) {
        reply->status = statuses[question];
        if (question == 0)
            reply->headers = "Retry-After: 1\r\n";
    } else if (question == 6) {
        reply->cut = CUT_BEFORE;
    } else if (question == 7) {
        reply->cut = CUT_MIDDLE;
    } else if (question == 8) {
        reply->padding = 17 << 20; /* larger than is read */
    } else {
        static const char *const bodies[] = {
            "",
            "null",
            "[]",
            "{\"choices\": []}",
            "{\"choices\": [{\"message\": {}}]}",
            "{\"choices\": {\"message\": {\"content\": \"x\"}}, \"choices\": 3}",
            "{\"error\": \"busy\"}",
            "{\"choices\": [{\"message\": {\"content\": {}}}]}",
            "{\"choices\": [{\"text\": \"a legacy completion\"}]}",
            "{\"choices\": [{\"message\": {\"content\": \"unfinished",
            "data: {\"choices\": []}\n\n",
        };
        free(reply->body);
        if (question - 9 < sizeof bodies / sizeof *bodies) {
            reply->body = strdup(bodies[question - 9]);
        } else { /* deep nesting */
            reply->body = calloc(1, 100001);
            memset(reply->body, '[', 100000);
        }
    }
}

static void test_failures_that_pass(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(fail_once, 21);
    double started = nc_seconds();
    assert_ok(talk_run(talk));
    assert_true(nc_seconds() - started >= 1); /* Retry-After */
    assert_int_equal(talk->counts.sent, 42);
    assert_int_equal(talk->counts.repeated, 21);
    assert_int_equal(talk->counts.answered, 21);
    for (size_t i = 0; i < 21; i++)
        assert_string_equal(talk->answers[i].text, "good");
    talk_finish(talk);
}

static void odd_answers(void *context, const struct server_request *request,
                        struct server_reply *reply)
{
    (void)context;
    static const char *const bodies[] = {
        "{\"choices\": [{\"message\": {\"content\": null}}]}",
        "{\"choices\": [{\"message\": {\"content\": [{\"type\": \"text\", \"text\": \"a\"}, 4, "
        "{\"text\": \"b\"}]}, \"finish_reason\": null}], \"usage\": {\"prompt_tokens\": -1}}",
        "{\"choices\": [{\"message\": {\"content\": \"\"}, \"finish_reason\": \"length\"}], "
        "\"usage\": 3}",
        /* a backslash and u0000, not the character zero */
        "{\"choices\": [{\"message\": {\"content\": \"a\\\\u0000b\"}}]}",
    };
    const char *number = strstr(request->body, "question ");
    reply->body = strdup(bodies[number ? strtoul(number + 9, NULL, 10) % 4 : 0]);
    reply->type = "text/plain";
}

static void test_odd_answers(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(odd_answers, 4);
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[0].text, "");
    assert_string_equal(talk->answers[1].text, "ab");
    assert_true(talk->answers[2].cut);
    assert_string_equal(talk->answers[3].text, "a\\u0000b");
    assert_int_equal(talk->counts.sent, 5); /* what was cut before it began, with more room */
    assert_ok(talk_run(talk)); /* from the journal */
    assert_string_equal(talk->answers[3].text, "a\\u0000b");
    assert_int_equal(talk->counts.sent, 0);
    talk_finish(talk);
}

/* ---- Failures that stay ---------------------------------------------------------------- */

/* Question 0 is answered, 1 never is, 2 is refused. */
static void one_each(void *context, const struct server_request *request,
                     struct server_reply *reply)
{
    (void)context;
    reply->body = server_completion("good", "stop");
    if (strstr(request->body, "question 1"))
        reply->status = 500;
    if (strstr(request->body, "question 2"))
        reply->status = 400;
}

static void test_failures_that_stay(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(one_each, 3);
    talk->options.concurrency = 1;
    talk->options.tries = 3;
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[0].text, "good");
    assert_true(talk->answers[1].came);
    assert_null(talk->answers[1].text);
    assert_int_equal(talk->answers[2].refused, 400);
    assert_int_equal(talk->counts.sent, 5);
    assert_int_equal(talk->counts.failed, 1);
    /* The refusal is an answer; what was given up is asked again. */
    assert_ok(talk_run(talk));
    assert_int_equal(talk->counts.sent, 3);
    assert_int_equal(talk->counts.remembered, 2);
    assert_int_equal(talk->answers[2].refused, 400);
    talk_finish(talk);
}

static int wanted_status;
static const char *wanted_headers;

static void always(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    reply->status = wanted_status;
    reply->headers = wanted_headers;
    if (asprintf(&reply->body, "{\"error\": {\"message\": \"no such thing\\n for '%s'\"}}",
                 request->authorization) < 0)
        abort();
}

static void test_server_that_refuses_everything(void **context)
{
    (void)context;
    static const struct {
        int status;
        const char *headers, *message;
    } cases[] = {
        {400, NULL, "status 400: no such thing  for"},
        {401, NULL, "keys are read from NCLIP_TEXT_API_KEY"},
        {404, NULL, "status 404"},
        {302, "Location: http://127.0.0.1:1/\r\n", "give the address that it sends to"},
        {500, NULL, "the same command goes on"},
    };
    setenv("OPENAI_API_KEY", "sk-very-secret", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text;
        size_t size;
        wanted_status = cases[i].status;
        wanted_headers = cases[i].headers;
        struct talk *talk = talk_begin(always, 40);
        talk->options.concurrency = 2;
        talk->options.tries = 2;
        assert_int_equal(talk_run(talk), NC_FAILED);
        assert_says(cases[i].message);
        assert_says(talk->server.url);
        assert_null(strstr(nc_error_message(), "secret"));
        assert_true(talk->counts.sent <= 5);
        assert_int_equal(nc_file_read(talk->journal, 1 << 20, &text, &size), NC_OK);
        assert_string_equal(text, "nclip journal 1\n");
        free(text);
        talk_finish(talk);
    }
    setenv("OPENAI_API_KEY", "***", 1); /* looks hidden already */
    wanted_status = 401;
    wanted_headers = NULL;
    struct talk *talk = talk_begin(always, 40);
    assert_int_equal(talk_run(talk), NC_FAILED);
    talk_finish(talk);
    unsetenv("OPENAI_API_KEY");
}

static void test_nobody_there(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(echo, 5);
    server_stop(&talk->server);
    talk->server.pid = 0;
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("connect");
    assert_true(talk->counts.sent <= 15);
    talk_finish(talk);
}

static void slow(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    (void)request;
    reply->delay = 40;
    reply->body = server_completion("late", "stop");
}

static void test_timeout(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(slow, 2);
    talk->options.timeout = 0.01;
    talk->options.tries = 2;
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("Timeout");
    talk->options.timeout = 0.0001; /* not curl's 0, which is no limit */
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("Timeout");
    talk_finish(talk);
}

static void test_concurrency(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(slow, 24);
    talk->options.concurrency = 4;
    assert_ok(talk_run(talk));
    char *log, *rest, *line;
    size_t size;
    unsigned most = 0;
    assert_int_equal(nc_file_read(talk->log, 1 << 20, &log, &size), NC_OK);
    for (rest = log; (line = strsep(&rest, "\n")) && *line;) {
        unsigned under_way = 0;
        assert_int_equal(sscanf(line, "%*s %*d %*d %u", &under_way), 1);
        most = under_way > most ? under_way : most;
    }
    assert_in_range(most, 2, 4);
    free(log);
    talk_finish(talk);
}

static void test_limit(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(echo, 10);
    talk->options.most_requests = 4;
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("stopped after the 4 requests");
    assert_int_equal(talk->counts.sent, 4);
    assert_int_equal(talk->counts.answered, 4); /* what is paid is waited for */
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_int_equal(talk->counts.remembered, 4);
    talk->options.most_requests = 2; /* exactly what is left */
    assert_ok(talk_run(talk));
    talk->options.most_requests = 0;
    assert_ok(talk_run(talk));
    talk->options.servers[NC_CHAT_TEXT].url = NULL; /* nor is a server needed */
    assert_ok(talk_run(talk));
    talk->count = 11;
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("the journal has no answer");
    talk_finish(talk);
}

static void test_addresses(void **context)
{
    (void)context;
    static const char *const wrong[] = {"",
                                        "127.0.0.1:8080",
                                        "localhost",
                                        "ftp://host/",
                                        "file:///etc/passwd",
                                        "http://",
                                        "http://[::1",
                                        "://x",
                                        "http://host:99999/",
                                        "http://ho st/",
                                        "javascript:alert(1)"};
    struct talk *talk = talk_begin(NULL, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        talk->options.servers[NC_CHAT_TEXT].url = wrong[i];
        if (talk_run(talk) != NC_USAGE)
            fail_msg("\"%s\" was taken for an address", wrong[i]);
        assert_says("is no address of a server");
        assert_false(nc_file_exists(talk->journal));
    }
    talk->options.servers[NC_CHAT_TEXT].url = "http://me:secret@host/";
    assert_int_equal(talk_run(talk), NC_USAGE);
    assert_says("put the key into NCLIP_TEXT_API_KEY");
    assert_null(strstr(nc_error_message(), "secret"));
    talk_finish(talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_same_question_once),
        cmocka_unit_test(test_picture),
        cmocka_unit_test(test_failures_that_pass),
        cmocka_unit_test(test_odd_answers),
        cmocka_unit_test(test_failures_that_stay),
        cmocka_unit_test(test_server_that_refuses_everything),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_concurrency),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
