/* Keys: to which server they go, and that they are written nowhere. */
#include "talk.h"
#include "tls_server.h"

static const char key[] = "sk-0123456789-very-secret";

/* ---- Where a key must not show -------------------------------------------------------------- */

/* Tells the key back wherever it can. */
static void tell_back(void *context, const struct server_request *request,
                      struct server_reply *reply)
{
    (void)context;
    const char *said = request->authorization;
    if (strstr(request->body, "question 1"))
        reply->status = 400;
    if (asprintf(&reply->body,
                 reply->status == 400
                     ? "{\"error\": {\"message\": \"bad request with %s\"}}"
                     : "{\"choices\": [{\"message\": {\"content\": \"umbrella %s\"}, "
                       "\"finish_reason\": \"stop\"}]}",
                 said) < 0)
        abort();
}

static void test_key_is_kept_nowhere(void **context)
{
    (void)context;
    setenv("OPENAI_API_KEY", key, 1);
    struct talk *talk = talk_begin(tell_back, 2);
    talk->options.concurrency = 1;
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[0].text, "umbrella Bearer *************************");
    char *journal = talk_journal(talk);
    assert_null(strstr(journal, "very-secret"));
    free(journal);
    talk_finish(talk);

    /* What local servers are given for a key is found in ordinary words. */
    setenv("OPENAI_API_KEY", "umb", 1);
    talk = talk_begin(tell_back, 1);
    assert_ok(talk_run(talk));
    assert_string_equal(talk->answers[0].text, "umbrella Bearer umb");
    talk_finish(talk);
    unsetenv("OPENAI_API_KEY");
}

static void forbid(void *context, const struct server_request *request, struct server_reply *reply)
{
    (void)context;
    (void)request;
    reply->status = 403;
}

static void test_key_in_an_address(void **context)
{
    (void)context;
    char url[128];
    struct talk *talk = talk_begin(forbid, 1);
    snprintf(url, sizeof url, "%s/v1?api-key=%s", talk->server.url, key);
    talk->options.servers[NC_CHAT_TEXT].url = url;
    assert_int_equal(talk_run(talk), NC_FAILED);
    assert_says("/v1/chat/completions answers with status 403");
    assert_null(strstr(nc_error_message(), "very-secret"));
    talk_finish(talk);
}

/* ---- Redirections ----------------------------------------------------------------------------- */

static char location[128];
static int redirection;

static void redirect(void *context, const struct server_request *request,
                     struct server_reply *reply)
{
    (void)context;
    (void)request;
    reply->status = redirection;
    reply->headers = location;
}

static void test_redirections(void **context)
{
    (void)context;
    static const int statuses[] = {301, 302, 303, 307, 308};
    struct talk *other = talk_begin(tell_back, 1);
    setenv("OPENAI_API_KEY", key, 1);
    snprintf(location, sizeof location, "Location: %s/v1/chat/completions\r\n", other->server.url);
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        redirection = statuses[i];
        struct talk *talk = talk_begin(redirect, 1);
        assert_int_equal(talk_run(talk), NC_FAILED);
        assert_says(other->server.url); /* where it sends to */
        assert_says("give the address that it sends to");
        assert_int_equal(talk->counts.sent, 1);
        talk_finish(talk);
    }
    char *text;
    size_t size = 0;
    if (nc_file_exists(other->log)) {
        assert_ok(nc_file_read(other->log, 1 << 20, &text, &size));
        free(text);
    }
    assert_int_equal(size, 0); /* nobody came */
    unsetenv("OPENAI_API_KEY");
    talk_finish(other);
}

/* ---- Certificates ------------------------------------------------------------------------------ */

struct secure {
    struct talk *talk;
    struct tls_server server;
    char *certificate, *log;
};

static bool secure_begin(struct secure *secure, const char *host, bool http2, size_t count)
{
    secure->talk = talk_begin(NULL, count);
    secure->certificate = nc_path_join(secure->talk->folder, "certificate.pem");
    secure->log = nc_path_join(secure->talk->folder, "requests");
    secure->talk->options.servers[NC_CHAT_TEXT].url = secure->server.url;
    unsetenv("SSL_CERT_FILE");
    return tls_server_start(&secure->server, host, http2, secure->certificate, secure->log);
}

static void secure_finish(struct secure *secure)
{
    unsetenv("SSL_CERT_FILE");
    tls_server_stop(&secure->server);
    free(secure->certificate);
    free(secure->log);
    talk_finish(secure->talk);
}

/* How many lines of the log are `line`. */
static size_t count_lines(const struct secure *secure, const char *line)
{
    char *text = NULL;
    size_t size, count = 0;
    if (nc_file_exists(secure->log))
        assert_ok(nc_file_read(secure->log, 1 << 20, &text, &size));
    for (const char *at = text; at && (at = strstr(at, line)); at += strlen(line))
        count++;
    free(text);
    return count;
}

static void test_certificates(void **context)
{
    (void)context;
    struct secure secure = {0};
    if (!secure_begin(&secure, "127.0.0.1", false, 3)) {
        talk_finish(secure.talk);
        printf("SKIPPED: built without OpenSSL\n");
        skip();
    }
    /* Nobody vouches for it: it gets no request, and is not asked again. */
    assert_int_equal(talk_run(secure.talk), NC_FAILED);
    assert_says("certificate");
    assert_says("SSL_CERT_FILE");
    assert_int_equal(count_lines(&secure, "HTTP/1.1\n"), 0);
    assert_true(secure.talk->counts.sent <= 3);
    /* The one who knows it says so. */
    setenv("SSL_CERT_FILE", secure.certificate, 1);
    assert_ok(talk_run(secure.talk));
    assert_string_equal(secure.talk->answers[2].text, "over HTTP/1.1");
    assert_int_equal(count_lines(&secure, "HTTP/1.1\n"), 3);
    secure_finish(&secure);

    /* Known, but for another host. */
    assert_true(secure_begin(&secure, "elsewhere.example", false, 1));
    setenv("SSL_CERT_FILE", secure.certificate, 1);
    assert_int_equal(talk_run(secure.talk), NC_FAILED);
    assert_says("certificate");
    assert_int_equal(count_lines(&secure, "HTTP/1.1\n"), 0);
    secure_finish(&secure);
}

static void test_http2(void **context)
{
    (void)context;
    static uint8_t picture[300000] = {0xff, 0xd8, 0xff}; /* more than a window takes at once */
    struct secure secure = {0};
    if (!secure_begin(&secure, "127.0.0.1", true, 40)) {
        talk_finish(secure.talk);
        printf("SKIPPED: built without OpenSSL\n");
        skip();
    }
    setenv("SSL_CERT_FILE", secure.certificate, 1);
    secure.talk->picture = picture;
    secure.talk->picture_size = sizeof picture;
    secure.talk->options.tries = 2;
    assert_ok(talk_run(secure.talk));
    for (size_t i = 0; i < 40; i++)
        assert_string_equal(secure.talk->answers[i].text, "over HTTP/2");
    assert_int_equal(count_lines(&secure, "HTTP/2\n"), 40);
    secure_finish(&secure);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_is_kept_nowhere),
        cmocka_unit_test(test_key_in_an_address),
        cmocka_unit_test(test_redirections),
        cmocka_unit_test(test_certificates),
        cmocka_unit_test(test_http2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
