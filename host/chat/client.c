/* Sends requests and receives answers in one thread by libcurl's multi interface, with
 * `concurrency` transfers at once for each server, and decides what is sent again. */
#include "queue.h"

#include "nclip/support/error.h"
#include "nclip/support/progress.h"
#include "nclip/support/signals.h"
#include "nclip/support/terminal.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    POLL_MILLISECONDS = 250, /* how soon a signal is noticed */
    TRIES_AT_FIRST = 3,      /* while nothing listens at the address */
    GIVEN_UP_IN_ROW = 8,     /* then the server is gone */
    LEAST_ROOM = 64,         /* tokens for reasoning; less is none */
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

/* ---- Sending ---------------------------------------------------------------------------- */

static int start(struct nc_chat *chat, struct chat_transfer *transfer)
{
    int status = chat_transfer_set_up(chat, transfer);
    if (status != NC_OK)
        return status;
    CURLMcode code = curl_multi_add_handle(chat->multi, transfer->easy);
    if (code != CURLM_OK)
        return nc_error(NC_FAILED, "cannot send a request: %s", curl_multi_strerror(code));
    transfer->under_way = true;
    chat->under_way++;
    chat->counts.sent++;
    chat->counts.repeated += transfer->pending->was_sent;
    transfer->pending->was_sent = true;
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
        double now = nc_seconds(), wait = wait_before(chat, pending);
        double asked = chat_transfer_retry_after(transfer);
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

/* Once more at once, as it is not the same request. */
static int send_otherwise(struct chat_transfer *transfer)
{
    transfer->pending->tries--;
    transfer->pending->not_before = 0;
    return NC_OK;
}

static void describe(struct nc_chat *chat, const struct chat_transfer *transfer, long code,
                     struct chat_complaint *complaint)
{
    const struct chat_server *server = &chat->servers[transfer->pending->server];
    char *target = NULL, status[48] = "an error";
    chat_hide_key(&server->address, complaint->text);
    if (code != 200)
        snprintf(status, sizeof status, "status %ld", code);
    snprintf(chat->failure, sizeof chat->failure, "%s answers with %s%s%.300s",
             server->address.shown, status, *complaint->text ? ": " : "", complaint->text);
    size_t used = strlen(chat->failure);
    if (curl_easy_getinfo(transfer->easy, CURLINFO_REDIRECT_URL, &target) == CURLE_OK && target) {
        snprintf(chat->failure + used, sizeof chat->failure - used, " (it sends to %.*s)",
                 (int)strcspn(target, "?"), target);
        nc_terminal_tame(chat->failure, "");
    }
}

/* An answer that will not change. */
static int refuse(struct nc_chat *chat, struct chat_transfer *transfer, size_t code, bool paid_up)
{
    struct chat_pending *pending = transfer->pending;
    struct chat_server *server = &chat->servers[pending->server];
    /* Wrong for every request, or for this one alone, such as a picture that it cannot read? */
    bool this_one = (code == 400 || code == 413 || code == 415 || code == 422) && server->answered;
    chat_changes_take_back(&server->changes, pending);
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
                        : paid_up ? "; what was answered is in the journal, and the same command "
                                    "goes on"
                                  : ""));
    return status;
}

/* Whether the refusal is one that a request sent otherwise would not get. */
static bool learn(struct nc_chat *chat, struct chat_transfer *transfer,
                  const struct chat_complaint *complaint)
{
    struct chat_pending *pending = transfer->pending;
    struct chat_server *server = &chat->servers[pending->server];
    if (pending->changes < server->changes.count || pending->room > server->room)
        return true; /* others were refused in the meantime */
    char *sent = chat_changes_apply(&server->changes, pending->changes, pending->body,
                                    pending->room, server->reasons);
    enum chat_lesson lesson =
        sent ? chat_changes_learn(&server->changes, sent, pending->room, complaint, pending)
             : CHAT_LEARNED_NOTHING;
    free(sent);
    if (lesson == CHAT_LESS_ROOM)
        server->room = server->room / 2 < LEAST_ROOM ? 0 : server->room / 2;
    return lesson != CHAT_LEARNED_NOTHING;
}

/* The server complains, by its status or in an answer with status 200. */
static int complain(struct nc_chat *chat, struct chat_transfer *transfer, long response,
                    struct chat_complaint *complaint)
{
    size_t code = response != 200        ? (size_t)response
                  : complaint->status    ? complaint->status
                                         : 503;
    bool learnable = code == 400 || code == 404 || code == 405 || code == 413 || code == 415 ||
                     code == 422 || code == 500 || code == 501 ||
                     (response == 200 && !complaint->status);
    bool later = code == 408 || code == 409 || code == 425 || code == 429 || code >= 500 ||
                 code < 300;
    describe(chat, transfer, response, complaint);
    if (learnable && learn(chat, transfer, complaint))
        return send_otherwise(transfer);
    return later && !complaint->paid_up ? retry(chat, transfer, false)
                                        : refuse(chat, transfer, code, complaint->paid_up);
}

/* What is sent otherwise, for the journal. */
static bool note_changes(const struct chat_server *server, const struct chat_pending *pending)
{
    char text[512];
    chat_changes_describe(&server->changes, text, sizeof text);
    return (!*text || cJSON_AddStringToObject(pending->record, "refused_by_server", text)) &&
           (!pending->room ||
            cJSON_AddNumberToObject(pending->record, "room", (double)pending->room));
}

static int use_answer(struct nc_chat *chat, struct chat_transfer *transfer, cJSON *answer,
                      const struct chat_reading *reading)
{
    struct chat_pending *pending = transfer->pending;
    struct chat_server *server = &chat->servers[pending->server];
    cJSON *record = pending->record;
    if (reading->reasons)
        chat_server_reasons(chat, server);
    if (reading->starved && pending->room < server->room) {
        cJSON_Delete(answer);
        return send_otherwise(transfer);
    }
    chat_changes_prove(&server->changes, pending->changes);
    chat_answer_hide_key(answer, &server->address);
    bool made = note_changes(server, pending);
    made = chat_answer_add(record, answer) && made;
    if (!made)
        return nc_error(NC_FAILED, "no memory for an answer");
    pending->record = NULL;
    return settle(chat, transfer, record);
}

/* A connection that failed: later it may not, but for certificates. */
static int disconnected(struct nc_chat *chat, struct chat_transfer *transfer, CURLcode code)
{
    const struct chat_server *server = &chat->servers[transfer->pending->server];
    bool untrusted = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
                     code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS;
    bool nobody_there = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
    bool more = *transfer->problem && !nobody_there && code != CURLE_OPERATION_TIMEDOUT &&
                !transfer->too_large;
    snprintf(chat->failure, sizeof chat->failure, "%s: %s%s%s%s", server->address.shown,
             transfer->too_large ? "its answer is larger than 16 MiB" : curl_easy_strerror(code),
             more ? " (" : "", more ? transfer->problem : "", more ? ")" : "");
    nc_terminal_tame(chat->failure, "");
    if (!untrusted)
        return retry(chat, transfer, nobody_there);
    int status = settle(chat, transfer, NULL);
    stop(chat, nc_error(NC_FAILED,
                        "%s; nothing is sent to a server that cannot be trusted: SSL_CERT_FILE "
                        "names certificates beside the system's",
                        chat->failure));
    return status;
}

static int finish(struct nc_chat *chat, struct chat_transfer *transfer, CURLcode code)
{
    struct chat_pending *pending = transfer->pending;
    const struct chat_server *server = &chat->servers[pending->server];
    struct chat_complaint complaint;
    char none[1] = "", *bytes = transfer->bytes ? transfer->bytes : none;
    long status = 0;
    cJSON *answer;
    curl_multi_remove_handle(chat->multi, transfer->easy);
    transfer->under_way = false;
    chat->under_way--;
    if (code != CURLE_OK)
        return disconnected(chat, transfer, code);
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status >= 300) {
        chat_complaint_read(bytes, transfer->used, &complaint);
        return complain(chat, transfer, status, &complaint);
    }
    struct chat_reading reading =
        chat_answer_read(bytes, transfer->used, pending->one_line, &answer, &complaint);
    switch (reading.kind) {
    case CHAT_ANSWERED:
        return use_answer(chat, transfer, answer, &reading);
    case CHAT_COMPLAINED:
        return complain(chat, transfer, 200, &complaint);
    case CHAT_NO_MEMORY:
        return nc_error(NC_FAILED, "no memory for an answer");
    case CHAT_UNREADABLE:
        break;
    }
    chat_complaint_read(bytes, transfer->used, &complaint); /* its first words */
    chat_hide_key(&server->address, complaint.text);
    snprintf(chat->failure, sizeof chat->failure, "%s: %s%s%.200s%s", server->address.shown,
             reading.reason, *complaint.text ? " (\"" : "", complaint.text,
             *complaint.text ? "\")" : "");
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
                answer = chat_answer_of(ready->record);
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

static int run(struct nc_chat *chat, const struct nc_chat_work *work)
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

int nc_chat_run(struct nc_chat *chat, const struct nc_chat_work *work)
{
    /* A server that hangs up while something is sent over TLS: an error of that request. */
    struct sigaction before, ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, &before);
    int status = run(chat, work);
    sigaction(SIGPIPE, &before, NULL);
    return status;
}
