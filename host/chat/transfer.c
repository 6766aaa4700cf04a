/* One transfer of a request by libcurl: its options, and the bytes that come back. */
#include "queue.h"

#include "nclip/support/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <xxhash.h>

enum {
    CONNECT_SECONDS = 10,
    LARGEST_ANSWER = 16 << 20, /* bytes of a response; streams take 200 a token */
};

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    struct chat_transfer *transfer = context;
    size_t more = size * count;
    if (transfer->used + more > LARGEST_ANSWER) {
        transfer->too_large = true;
        return 0;
    }
    if (transfer->used + more + 1 > transfer->capacity) {
        size_t capacity = (transfer->used + more + 1) * 2;
        char *larger = realloc(transfer->bytes, capacity);
        if (!larger)
            return 0;
        transfer->bytes = larger;
        transfer->capacity = capacity;
    }
    memcpy(transfer->bytes + transfer->used, bytes, more);
    transfer->used += more;
    transfer->bytes[transfer->used] = 0;
    return more;
}

/* ---- Retry-After ---------------------------------------------------------------------------- */

static bool is_header(const char *line, size_t size, const char *name)
{
    size_t length = strlen(name);
    return size > length && strncasecmp(line, name, length) == 0 && line[length] == ':';
}

/* Seconds, or a date in one of HTTP's three forms. */
static void read_retry_after(struct chat_transfer *transfer, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    if (end != value && !end[strspn(end, " \t\r\n")]) {
        transfer->asked_to_wait = seconds > 0 && isfinite(seconds) ? seconds : 0;
        return;
    }
    time_t date = curl_getdate(value, NULL);
    transfer->retry_date = date > 0 ? date : 0;
}

static size_t receive_header(char *bytes, size_t size, size_t count, void *context)
{
    struct chat_transfer *transfer = context;
    size_t length = size * count, used;
    char value[128];
    const char *colon = memchr(bytes, ':', length);
    if (length >= 5 && strncasecmp(bytes, "HTTP/", 5) == 0) { /* of another response: 100, a proxy */
        transfer->asked_to_wait = 0;
        transfer->retry_date = transfer->date = 0;
    }
    if (!colon)
        return length;
    used = length - (size_t)(colon + 1 - bytes);
    used = used < sizeof value ? used : sizeof value - 1;
    memcpy(value, colon + 1, used);
    value[used] = 0;
    const char *start = value + strspn(value, " \t");
    if (is_header(bytes, length, "Retry-After")) {
        read_retry_after(transfer, start);
    } else if (is_header(bytes, length, "retry-after-ms") && !transfer->asked_to_wait) {
        double milliseconds = strtod(start, NULL);
        transfer->asked_to_wait =
            milliseconds > 0 && isfinite(milliseconds) ? milliseconds / 1000 : 0;
    } else if (is_header(bytes, length, "Date")) {
        time_t date = curl_getdate(start, NULL);
        transfer->date = date > 0 ? date : 0;
    }
    return length;
}

double chat_transfer_retry_after(const struct chat_transfer *transfer)
{
    double from_date = 0;
    if (transfer->retry_date)
        from_date = difftime(transfer->retry_date,
                             transfer->date ? transfer->date : time(NULL));
    return transfer->asked_to_wait > from_date ? transfer->asked_to_wait : from_date;
}

/* ---- What is sent ----------------------------------------------------------------------------- */

static bool add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    if (longer)
        *list = longer;
    return longer != NULL;
}

/* The pending request as its server wants it, and its key: another body is another request, whose
 * answer a server must not take from its memory of the first. */
static int make_body(const struct chat_server *server, struct chat_transfer *transfer, char *key,
                     size_t capacity)
{
    struct chat_pending *pending = transfer->pending;
    bool as_it_is = !server->changes.count && !server->room && !server->reasons;
    free(transfer->body);
    transfer->body = as_it_is ? strdup(pending->body)
                              : chat_changes_apply(&server->changes, server->changes.count,
                                                   pending->body, server->room, server->reasons);
    if (!transfer->body)
        return nc_error(NC_FAILED, "no memory for a request");
    pending->changes = server->changes.count;
    pending->room = server->room;
    snprintf(key, capacity, "Idempotency-Key: %s", pending->key);
    if (strcmp(transfer->body, pending->body) != 0) {
        size_t used = strlen(key);
        snprintf(key + used, capacity - used, "-%08x",
                 (unsigned)XXH3_64bits(transfer->body, strlen(transfer->body)));
    }
    return pending->picture ? chat_message_add_picture(pending->picture, pending->picture_size,
                                                       &transfer->body)
                            : NC_OK;
}

int chat_transfer_set_up(const struct nc_chat *chat, struct chat_transfer *transfer)
{
    const struct chat_server *server = &chat->servers[transfer->pending->server];
    CURL *easy = transfer->easy;
    char key[80];
    int status = make_body(server, transfer, key, sizeof key);
    if (status != NC_OK)
        return status;
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    /* Without "Expect:" curl would wait a second before it sends a picture. */
    bool made = add_header(&transfer->headers, "Content-Type: application/json") &&
                add_header(&transfer->headers, "Expect:") && add_header(&transfer->headers, key) &&
                (!server->address.key || add_header(&transfer->headers, server->address.key));
    if (!made)
        return nc_error(NC_FAILED, "no memory for a request");
    transfer->used = 0;
    if (transfer->bytes)
        *transfer->bytes = 0;
    transfer->too_large = false;
    transfer->asked_to_wait = 0;
    transfer->retry_date = transfer->date = 0;
    *transfer->problem = 0;
    curl_easy_reset(easy); /* keeps the connection */
    curl_easy_setopt(easy, CURLOPT_URL, server->address.url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(transfer->body));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, receive_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->problem);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    /* up: curl's 0 is no limit */
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ceil(chat->options.timeout * 1000));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "nclip/" NCLIP_VERSION);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, ""); /* all that this libcurl can unpack */
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    /* The key stays with the host that it was given for, and goes nowhere unseen. */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
    const char *certificates = getenv("SSL_CERT_FILE");
    if (certificates && *certificates)
        curl_easy_setopt(easy, CURLOPT_CAINFO, certificates);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    if (server->address.loopback)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    return NC_OK;
}
