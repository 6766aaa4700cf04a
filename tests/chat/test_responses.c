/* Responses as servers of today send them: errors with status 200, streams, packed bodies, waits. */
#include "talk.h"

#include <time.h>
#include <zlib.h>

static const char *body;
static int status;
static const char *headers;
static const char *type;

/* Question 0 always works, so that the server is known to. */
static void say(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    (void)request;
    reply->status = status;
    reply->headers = headers;
    reply->type = type;
    reply->body = strdup(body);
}

static void say_as(int number, const char *text)
{
    status = number;
    body = text;
    headers = type = NULL;
}

/* ---- Errors ------------------------------------------------------------------------------- */

static void test_error_with_status_200(void **context)
{
    (void)context;
    static const char *const bodies[] = {
        "{\"error\": {\"message\": \"model overloaded\", \"code\": 503}}",
        "{\"error\": {\"message\": \"model overloaded\", \"code\": \"503\"}}",
        "{\"error\": \"model overloaded\"}",
        "{\"error\": {\"message\": \"model overloaded\"}, \"choices\": []}",
        "{\"object\": \"error\", \"message\": \"model overloaded\", \"code\": 503}",
        "{\"detail\": \"model overloaded\"}",
        "{\"detail\": [{\"msg\": \"model overloaded\"}]}",
        "[{\"error\": {\"message\": \"model overloaded\"}}]",
        "{\"success\": false, \"errors\": [{\"code\": 7003, \"message\": \"model overloaded\"}]}",
        "{\"error\": {\"message\": \"Provider returned error\", \"metadata\": {\"raw\": \"model "
        "overloaded\"}}}",
        "{\"choices\": [{\"message\": {\"content\": \"\"}, \"finish_reason\": \"error\", \"error\": "
        "{\"code\": 502, \"message\": \"model overloaded\"}}]}",
        "{\"error_code\": 336100, \"error_msg\": \"model overloaded\"}",
        "data: {\"error\": {\"message\": \"model overloaded\"}}\n\n",
        "event: error\ndata: {\"message\": \"model overloaded\"}\n\n",
        "error: {\"message\": \"model overloaded\", \"code\": 503}\n\n",
        "data: {\"choices\": [{\"delta\": {\"content\": \"a\"}}]}\n\ndata: {\"error\": {\"message\": "
        "\"model overloaded\"}}\n\ndata: [DONE]\n\n",
        "<html><head><title>x</title></head><body><h1>model\n overloaded</h1></body></html>",
        "model overloaded",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        say_as(200, bodies[i]);
        struct talk *talk = talk_begin(say, 1);
        talk->options.tries = 2;
        assert_int_equal(talk_run(talk), NC_FAILED);
        if (!strstr(nc_error_message(), "model overloaded"))
            fail_msg("%s: %s", bodies[i], nc_error_message());
        assert_int_equal(talk->counts.sent, 2); /* it may pass */
        talk_finish(talk);
    }
}

/* What waiting does not change ends the run at once. */
static void test_errors_that_stay(void **context)
{
    (void)context;
    static const struct {
        int status;
        const char *body;
    } cases[] = {
        {200, "{\"error\": {\"message\": \"wrong key\", \"code\": 401}}"},
        {200, "{\"error\": {\"message\": \"no such model\", \"type\": \"not_found_error\"}}"},
        {429, "{\"error\": {\"message\": \"You exceeded your current quota\", \"type\": "
              "\"insufficient_quota\", \"code\": \"insufficient_quota\"}}"},
        {402, "{\"error\": {\"message\": \"Insufficient credits\", \"code\": 402}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        say_as(cases[i].status, cases[i].body);
        struct talk *talk = talk_begin(say, 1);
        assert_int_equal(talk_run(talk), NC_FAILED);
        assert_int_equal(talk->counts.sent, 1);
        talk_finish(talk);
    }
}

/* ---- Streams ------------------------------------------------------------------------------- */

#define PIECE(text) "{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}"
#define END "{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"

static void test_streams(void **context)
{
    (void)context;
    static const char *const bodies[] = {
        "data: " PIECE("um") "\n\ndata: " PIECE("brella") "\n\ndata: " END "\n\ndata: [DONE]\n\n",
        /* Line ends, and what is left out. */
        "data: " PIECE("um") "\r\n\r\ndata: " PIECE("brella") "\r\n\r\ndata: [DONE]\r\n\r\n",
        "data:" PIECE("um") "\rdata:" PIECE("brella") "\r\rdata:[DONE]",
        "data: " PIECE("um") "\ndata: " PIECE("brella") "\ndata: " END "\n",
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\nid: 3\nevent: message\ndata: "
        PIECE("umbrella") "\n\ndata: " END "\n\n",
        "\xef\xbb\xbf" "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\ndata: \"umbrella\"}}]}"
        "\n\ndata: [DONE]\n\n",
        /* Pieces without a choice, a role, or any text; numbers at the end. */
        "data: {\"choices\":[]}\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\","
        "\"content\":null}}]}\n\ndata: " PIECE("umbrella") "\n\ndata: " END "\n\ndata: {\"choices\":[],"
        "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
        /* Reasoning in pieces of its own, and in the text. */
        "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"Okay\"}}]}\n\ndata: "
        PIECE("umbrella") "\n\ndata: [DONE]\n\n",
        "data: " PIECE("<th") "\n\ndata: " PIECE("ink>a</think>") "\n\ndata: " PIECE("umbrella")
        "\n\ndata: [DONE]\n\n",
        /* All of it in one. */
        ("data: {\"choices\":[{\"message\":{\"content\":\"umbrella\"},\"finish_reason\":\"stop\"}]}"
         "\n\ndata: [DONE]\n\n"),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        say_as(200, bodies[i]);
        type = i % 2 ? "text/event-stream" : NULL;
        struct talk *talk = talk_begin(say, 1);
        talk->options.tries = 1;
        if (talk_run(talk) != NC_OK)
            fail_msg("%zu: %s", i, nc_error_message());
        if (strcmp(talk->answers[0].text, "umbrella") != 0)
            fail_msg("%zu: \"%s\"", i, talk->answers[0].text);
        talk_finish(talk);
    }
}

static void test_streams_that_break(void **context)
{
    (void)context;
    static const char *const bodies[] = {
        "data: " PIECE("umbrel") "\n\n",
        "data: " PIECE("umbrel") "\n\ndata: {\"choices\":[{\"del",
        "data: nothing\n\n",
        ": hello\n\n",
        "data:",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        say_as(200, bodies[i]);
        struct talk *talk = talk_begin(say, 1);
        talk->options.tries = 2;
        assert_int_equal(talk_run(talk), NC_FAILED);
        assert_says("its stream of events ends before the answer does");
        assert_int_equal(talk->counts.sent, 2);
        talk_finish(talk);
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void test_answers(void **context)
{
    (void)context;
    static const struct {
        const char *body, *text;
        size_t refused;
    } cases[] = {
        {"\xef\xbb\xbf\n\n  {\"choices\": [{\"message\": {\"content\": \"a\"}}]}", "a", 0},
        {"{\"choices\": [{\"message\": {\"content\": \"a\", \"reasoning_content\": null}, "
         "\"error\": null}], \"error\": null}",
         "a", 0},
        {"{\"choices\": [{\"message\": {\"content\": [\"a\", {\"type\": \"output_text\", \"text\": "
         "\"b\"}, {\"type\": \"reasoning\", \"text\": \"c\"}]}}]}",
         "ab", 0},
        {"{\"choices\": [{\"message\": {\"content\": \"a \\ud83d b \\u0000 \\ud83d\\ude00\"}}]}",
         "a \xef\xbf\xbd b \xef\xbf\xbd \xf0\x9f\x98\x80", 0},
        {"{\"choices\": [{\"message\": {\"content\": null, \"refusal\": \"I cannot\"}}]}",
         "I cannot", 200},
        {"{\"choices\": [{\"message\": {\"refusal\": \"I cannot\"}}]}", "I cannot", 200},
        {"{\"choices\": [{\"message\": {\"content\": \"\"}, \"finish_reason\": "
         "\"content_filter\"}]}",
         "", 200},
        {"{\"choices\": [{\"message\": {\"content\": \"a\", \"refusal\": null}}]}", "a", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        say_as(i % 2 ? 200 : 201, cases[i].body);
        struct talk *talk = talk_begin(say, 1);
        for (int twice = 0; twice < 2; twice++) { /* the second time from the journal */
            assert_ok(talk_run(talk));
            assert_string_equal(talk->answers[0].text, cases[i].text);
            assert_int_equal(talk->answers[0].refused, cases[i].refused);
            assert_int_equal(talk->counts.sent, !twice);
        }
        talk_finish(talk);
    }
}

static void pack(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    (void)request;
    char *plain = server_completion("umbrella", "stop");
    z_stream stream = {0};
    reply->body = malloc(4096);
    reply->headers = "Content-Encoding: gzip\r\n";
    stream.next_in = (Bytef *)plain;
    stream.avail_in = (uInt)strlen(plain);
    stream.next_out = (Bytef *)reply->body;
    stream.avail_out = 4096;
    if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    reply->body_size = stream.total_out;
    deflateEnd(&stream);
    free(plain);
}

static void test_packed(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(pack, 3);
    talk->options.tries = 1;
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[2].text, "umbrella");
    talk_finish(talk);
}

/* A small body that unpacks to more than is read. */
static void pack_a_bomb(void *context, const struct server_request *request,
                        struct server_reply *reply)
{
    static char zeros[1 << 16];
    (void)context;
    (void)request;
    z_stream stream = {0};
    reply->body = malloc(1 << 20);
    reply->headers = "Content-Encoding: gzip\r\n";
    stream.next_out = (Bytef *)reply->body;
    stream.avail_out = 1 << 20;
    if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    for (int i = 0; i < 1024; i++) {
        stream.next_in = (Bytef *)zeros;
        stream.avail_in = sizeof zeros;
        deflate(&stream, i == 1023 ? Z_FINISH : Z_NO_FLUSH);
    }
    reply->body_size = stream.total_out;
    deflateEnd(&stream);
}

static void test_packed_bomb(void **context)
{
    (void)context;
    struct talk *talk = talk_begin(pack_a_bomb, 1);
    talk->options.tries = 1;
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("larger than 16 MiB");
    talk_finish(talk);
}

/* ---- Waits ------------------------------------------------------------------------------------- */

static const char *wait_headers;

static void ask_to_wait(void *context, const struct server_request *request,
                        struct server_reply *reply)
{
    (void)context;
    if (request->attempt == 0) {
        reply->status = 429;
        reply->headers = wait_headers;
        reply->body = strdup("{\"error\": {\"message\": \"slow down\"}}");
    } else {
        reply->body = server_completion("umbrella", "stop");
    }
}

static double time_of(const char *lines)
{
    wait_headers = lines;
    struct talk *talk = talk_begin(ask_to_wait, 1);
    double started = nc_seconds();
    assert_ok(talk_run(talk));
    double seconds = nc_seconds() - started;
    assert_int_equal(talk->counts.sent, 2);
    talk_finish(talk);
    return seconds;
}

static void test_waits(void **context)
{
    (void)context;
    char lines[256], date[64];
    struct tm parts;
    /* By the server's clock, which is years behind. */
    assert_true(time_of("Date: Wed, 21 Oct 2015 07:28:00 GMT\r\nRetry-After: Wed, 21 Oct 2015 "
                        "07:28:01 GMT\r\n") >= 1);
    assert_true(time_of("Date: Sunday, 06-Nov-94 08:49:37 GMT\r\nRetry-After: Sun Nov  6 08:49:38 "
                        "1994\r\n") >= 1);
    /* By this machine's. */
    time_t later = time(NULL) + 2;
    gmtime_r(&later, &parts);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    snprintf(lines, sizeof lines, "Retry-After: %s\r\n", date);
    assert_true(time_of(lines) >= 0.9);
    assert_true(time_of("Retry-After: 1.0\r\n") >= 1);
    assert_true(time_of("retry-after-ms: 400\r\n") >= 0.4);
    /* Nothing to wait for. */
    assert_true(time_of("Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n") < 20);
    assert_true(time_of("Retry-After: soon\r\n") < 20);
    assert_true(time_of("Retry-After: -5\r\n") < 20);
    assert_true(time_of("Retry-After: nan\r\n") < 20);
    assert_true(time_of("Retry-After:\r\n") < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_with_status_200),
        cmocka_unit_test(test_errors_that_stay),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_streams_that_break),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_packed_bomb),
        cmocka_unit_test(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
