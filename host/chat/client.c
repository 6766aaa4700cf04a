/* The loop around libcurl's multi interface: one thread, `concurrency` transfers a server. */
#include "queue.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    POLL_MILLISECONDS = 250, /* how soon a signal is noticed */
    CONNECT_SECONDS = 10,
    LARGEST_ANSWER = 4 << 20, /* bytes of a response */
    COMPLAINT = 4096,         /* bytes read of a server's complaint */
    TRIES_AT_FIRST = 3,       /* while nothing listens at the address */
    GIVEN_UP_IN_ROW = 8,      /* then the server is gone */
};
static const double LONGEST_WAIT = 60, LONGEST_RETRY_AFTER = 3600; /* seconds */

/* Ends the run once what is under way has come back. */
static void stop(struct nc_chat *chat, int status)
{
    if (chat->stop_status != NC_OK)
        return;
    chat->stop_status = status;
    snprintf(chat->stop_message, sizeof chat->stop_message, "%s", nc_error_message());
}

/* ---- One transfer ---------------------------------------------------------------------- */

static size_t receive(char *bytes, size_t size, size_t count, void *context)
{
    struct chat_transfer *transfer = context;
    size_t more = size * count;
    if (transfer->used + more > LARGEST_ANSWER) {
        transfer->too_large = true;
        return 0;
    }
    if (transfer->used + more > transfer->capacity) {
        size_t capacity = (transfer->used + more) * 2;
        char *larger = realloc(transfer->bytes, capacity);
        if (!larger)
            return 0;
        transfer->bytes = larger;
        transfer->capacity = capacity;
    }
    memcpy(transfer->bytes + transfer->used, bytes, more);
    transfer->used += more;
    return more;
}

static bool add_header(struct curl_slist **list, const char *header)
{
    struct curl_slist *longer = curl_slist_append(*list, header);
    if (longer)
        *list = longer;
    return longer != NULL;
}

static int set_up(struct nc_chat *chat, struct chat_transfer *transfer)
{
    const struct chat_server *server = &chat->servers[transfer->pending->server];
    char key[64];
    snprintf(key, sizeof key, "Idempotency-Key: %s", transfer->pending->key);
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    /* Without "Expect:" curl would wait a second before it sends a picture. */
    bool made = add_header(&transfer->headers, "Content-Type: application/json") &&
                add_header(&transfer->headers, "Expect:") && add_header(&transfer->headers, key) &&
                (!server->address.key || add_header(&transfer->headers, server->address.key));
    CURL *easy = transfer->easy;
    if (!made)
        return nc_error(NC_FAILED, "no memory for a request");
    transfer->used = 0;
    transfer->too_large = false;
    curl_easy_reset(easy); /* keeps the connection */
    curl_easy_setopt(easy, CURLOPT_URL, server->address.url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->pending->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t)strlen(transfer->pending->body));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, receive);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    /* up: curl's 0 is no limit */
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ceil(chat->options.timeout * 1000));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "nclip/" NCLIP_VERSION);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    if (server->address.loopback)
        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    return NC_OK;
}

static int start(struct nc_chat *chat, struct chat_transfer *transfer)
{
    int status = set_up(chat, transfer);
    if (status != NC_OK)
        return status;
    CURLMcode code = curl_multi_add_handle(chat->multi, transfer->easy);
    if (code != CURLM_OK)
        return nc_error(NC_FAILED, "cannot send a request: %s", curl_multi_strerror(code));
    transfer->under_way = true;
    chat->under_way++;
    chat->counts.sent++;
    chat->counts.repeated += transfer->pending->tries > 0;
    transfer->pending->tries++;
    return NC_OK;
}

/* Starts what may be started; *soonest becomes the time at which more may. */
static int launch(struct nc_chat *chat, double *soonest)
{
    double now = nc_seconds();
    *soonest = INFINITY;
    for (size_t s = 0; s < NC_CHAT_SERVERS; s++) {
        struct chat_server *server = &chat->servers[s];
        for (size_t i = 0; i < server->transfer_count; i++) {
            struct chat_transfer *transfer = &server->transfers[i];
            if (transfer->under_way || (!transfer->pending && !server->first))
                continue;
            double begin = transfer->pending ? transfer->pending->not_before : 0;
            if (begin < server->not_before)
                begin = server->not_before;
            if (begin > now) {
                *soonest = begin < *soonest ? begin : *soonest;
                continue;
            }
            if (chat->counts.sent >= chat->options.most_requests) {
                stop(chat, chat_error_limit(chat));
                return NC_OK;
            }
            if (!transfer->pending)
                transfer->pending = chat_queue_take(server);
            int status = start(chat, transfer);
            if (status != NC_OK)
                return status;
        }
    }
    return NC_OK;
}

/* ---- What came back -------------------------------------------------------------------- */

/* The transfer is free; `record` (owned by this call) is what was answered, NULL: nothing. */
static int settle(struct nc_chat *chat, struct chat_transfer *transfer, cJSON *record)
{
    struct chat_pending *pending = transfer->pending;
    struct chat_server *server = &chat->servers[pending->server];
    int status = NC_OK;
    transfer->pending = NULL;
    if (record) {
        server->answered = true;
        server->given_up = 0;
        chat->counts.answered++;
        chat->unsynced = true;
        status = nc_journal_append(chat->journal, pending->key, record);
    } else {
        server->given_up++;
        chat->counts.failed++;
    }
    if (status == NC_OK)
        status = chat_ready_add(chat, pending, record);
    else
        cJSON_Delete(record);
    chat_pending_free(chat, pending);
    return status;
}

static double wait_before(const struct nc_chat *chat, const struct chat_pending *pending)
{
    double wait = chat->options.backoff * pow(2, (double)pending->tries - 1);
    if (wait > LONGEST_WAIT)
        wait = LONGEST_WAIT;
    return wait * (0.5 + chat_chance(chat->options.seed + pending->tries, pending->key));
}

/* Tried again later, or given up. `reason` stands in chat->failure. */
static int retry(struct nc_chat *chat, struct chat_transfer *transfer, bool nobody_there)
{
    struct chat_pending *pending = transfer->pending;
    struct chat_server *server = &chat->servers[pending->server];
    size_t most = chat->options.tries;
    if (nobody_there && !server->answered && most > TRIES_AT_FIRST)
        most = TRIES_AT_FIRST;
    if (pending->tries < most) {
        curl_off_t after = 0;
        double now = nc_seconds(), wait = wait_before(chat, pending);
        curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &after);
        double asked = after > 0 ? (double)after : 0;
        if (asked > LONGEST_RETRY_AFTER)
            asked = LONGEST_RETRY_AFTER;
        if (asked > 0 && server->not_before < now + asked)
            server->not_before = now + asked; /* meant for every request */
        pending->not_before = now + (wait > asked ? wait : asked);
        return NC_OK;
    }
    int status = settle(chat, transfer, NULL);
    if (!server->answered || server->given_up >= GIVEN_UP_IN_ROW)
        stop(chat, nc_error(NC_FAILED,
                            "%s; what was answered is in the journal, and the same command goes on",
                            chat->failure));
    return status;
}

static void describe_status(struct nc_chat *chat, const struct chat_transfer *transfer, long code)
{
    const struct chat_server *server = &chat->servers[transfer->pending->server];
    char complaint[COMPLAINT];
    chat_message_complaint(transfer->bytes ? transfer->bytes : "", transfer->used, complaint,
                           sizeof complaint);
    chat_hide_key(&server->address, complaint);
    snprintf(chat->failure, sizeof chat->failure, "%s answers with status %ld%s%.300s",
             server->address.url, code, *complaint ? ": " : "", complaint);
}

/* A status that is no success and will not change. */
static int refused(struct nc_chat *chat, struct chat_transfer *transfer, long code)
{
    struct chat_pending *pending = transfer->pending;
    struct chat_server *server = &chat->servers[pending->server];
    /* Wrong for every request, or for this one alone, such as a picture that it cannot read? */
    bool this_one = (code == 400 || code == 413 || code == 415 || code == 422) && server->answered;
    if (this_one) {
        cJSON *record = pending->record;
        pending->record = NULL;
        if (cJSON_AddNumberToObject(record, "refused", (double)code))
            return settle(chat, transfer, record);
        cJSON_Delete(record);
        return nc_error(NC_FAILED, "no memory for an answer");
    }
    int status = settle(chat, transfer, NULL);
    stop(chat, nc_error(NC_FAILED, "%s%s", chat->failure,
                        code == 401 || code == 403  ? "; keys are read from NCLIP_TEXT_API_KEY, "
                                                      "NCLIP_VISION_API_KEY or OPENAI_API_KEY"
                        : code >= 300 && code < 400 ? "; give the address that it sends to"
                                                    : ""));
    return status;
}

static int finish(struct nc_chat *chat, struct chat_transfer *transfer, CURLcode code)
{
    struct chat_pending *pending = transfer->pending;
    const struct chat_server *server = &chat->servers[pending->server];
    long status = 0;
    curl_multi_remove_handle(chat->multi, transfer->easy);
    transfer->under_way = false;
    chat->under_way--;
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        snprintf(chat->failure, sizeof chat->failure, "%s: %s", server->address.url,
                 transfer->too_large ? "its answer is larger than 4 MiB"
                                     : curl_easy_strerror(code));
        return retry(chat, transfer,
                     code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST);
    }
    if (status != 200) {
        describe_status(chat, transfer, status);
        bool later = status == 408 || status == 409 || status == 425 || status == 429 ||
                     status >= 500 || status < 300;
        return later ? retry(chat, transfer, false) : refused(chat, transfer, status);
    }
    const char *reason;
    cJSON *record = pending->record;
    if (chat_message_read(transfer->bytes ? transfer->bytes : "", transfer->used, record,
                          &reason)) {
        pending->record = NULL;
        return settle(chat, transfer, record);
    }
    if (!reason)
        return nc_error(NC_FAILED, "no memory for an answer");
    snprintf(chat->failure, sizeof chat->failure, "%s: %s", server->address.url, reason);
    return retry(chat, transfer, false);
}

static int collect(struct nc_chat *chat)
{
    CURLMsg *message;
    int left, status = NC_OK;
    while (status == NC_OK && (message = curl_multi_info_read(chat->multi, &left))) {
        struct chat_transfer *transfer = NULL;
        CURLcode code = message->data.result; /* the message goes with its handle */
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        status = finish(chat, transfer, code);
    }
    if (status == NC_OK && chat->unsynced) {
        status = nc_journal_sync(chat->journal);
        chat->unsynced = false;
    }
    return status;
}

/* ---- The loop --------------------------------------------------------------------------- */

/* Answers that are there are used, and new items begun, until requests fill the room. */
static int use_answers(struct nc_chat *chat, const struct nc_chat_work *work, bool *more)
{
    for (;;) {
        struct chat_ready *ready = chat_ready_take(chat);
        int status = NC_OK;
        if (ready) {
            struct nc_chat_answer answer = {0};
            if (ready->record)
                answer = chat_message_answer(ready->record);
            status =
                work->answered(work->context, chat, ready->tag, ready->record ? &answer : NULL);
            cJSON_Delete(ready->record);
            free(ready);
        } else if (*more && chat->open < chat->room && chat->stop_status == NC_OK) {
            status = work->next(work->context, chat, more);
        } else {
            return NC_OK;
        }
        if (status != NC_OK)
            return status;
        if (nc_signals_stop())
            stop(chat, nc_error(NC_FAILED, "stopped by a signal; the same command goes on"));
    }
}

static int exchange(struct nc_chat *chat, double soonest)
{
    int running, milliseconds = POLL_MILLISECONDS;
    double until = (soonest - nc_seconds()) * 1000;
    if (until < milliseconds)
        milliseconds = until > 0 ? (int)until + 1 : 0;
    CURLMcode code = curl_multi_perform(chat->multi, &running);
    if (code == CURLM_OK && (size_t)running == chat->under_way)
        code = curl_multi_poll(chat->multi, NULL, 0, milliseconds, NULL);
    return code == CURLM_OK
               ? NC_OK
               : nc_error(NC_FAILED, "cannot send requests: %s", curl_multi_strerror(code));
}

int nc_chat_run(struct nc_chat *chat, const struct nc_chat_work *work)
{
    bool more = true;
    for (;;) {
        double soonest = INFINITY;
        int status = use_answers(chat, work, &more);
        if (status == NC_OK && nc_signals_stop())
            stop(chat, nc_error(NC_FAILED, "stopped by a signal; the same command goes on"));
        if (status == NC_OK && chat->stop_status == NC_OK)
            status = launch(chat, &soonest);
        if (status != NC_OK)
            return status;
        if (chat->under_way == 0 && chat->stop_status != NC_OK)
            return nc_error(chat->stop_status, "%s", chat->stop_message);
        if (chat->open == 0)
            return NC_OK;
        status = exchange(chat, soonest);
        if (status == NC_OK)
            status = collect(chat);
        if (status != NC_OK)
            return status;
    }
}
