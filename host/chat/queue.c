/* Takes requests in, joins equal ones, keeps them until they are answered, and hands the answers
 * out. */
#include "queue.h"

#include "nclip/formats/json.h"
#include "nclip/support/error.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { REPORTED_ROOM = 4096 }; /* tokens for reasoning, where a server reports that it does */

void nc_chat_defaults(struct nc_chat_options *options)
{
    *options = (struct nc_chat_options){
        .concurrency = 16,
        .most_requests = SIZE_MAX,
        .tries = 8,
        .backoff = 0.5,
        .timeout = 300,
        .reasoning_tokens = NC_CHAT_AS_REPORTED,
        .seed = 42,
    };
}

/* ---- Opening and closing ---------------------------------------------------------------- */

static int open_server(struct nc_chat *chat, enum nc_chat_server which)
{
    struct chat_server *server = &chat->servers[which];
    const char *url = chat->options.servers[which].url, *model = chat->options.servers[which].model;
    if (!model)
        return NC_OK;
    server->model = strdup(model);
    int status = server->model ? NC_OK : nc_error(NC_FAILED, "no memory");
    if (status == NC_OK && url)
        status = chat_address_make(url, which, &server->address);
    if (status != NC_OK || !url)
        return status;
    if (chat->options.reasoning_tokens != NC_CHAT_AS_REPORTED &&
        chat->options.reasoning_tokens != 0)
        chat_server_reasons(chat, server);
    server->transfer_count = chat->options.concurrency;
    server->transfers = calloc(server->transfer_count, sizeof *server->transfers);
    for (size_t i = 0; i < server->transfer_count; i++) {
        if (!server->transfers || !(server->transfers[i].easy = curl_easy_init()))
            return nc_error(NC_FAILED, "no memory for %zu requests at once",
                            server->transfer_count);
    }
    return NC_OK;
}

int nc_chat_create(const struct nc_chat_options *options, struct nc_chat **out)
{
    *out = NULL;
    struct nc_chat *chat = calloc(1, sizeof *chat);
    if (!chat)
        return nc_error(NC_FAILED, "no memory");
    chat->options = *options;
    if (!chat->options.concurrency)
        chat->options.concurrency = 1;
    if (!chat->options.tries)
        chat->options.tries = 1;
    int status =
        curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK && (chat->multi = curl_multi_init())
            ? NC_OK
            : nc_error(NC_FAILED, "libcurl cannot be started");
    for (int which = 0; which < NC_CHAT_SERVERS && status == NC_OK; which++) {
        status = open_server(chat, which);
        chat->room += 2 * chat->servers[which].transfer_count;
    }
    if (!chat->room) /* the journal answers, or nobody */
        chat->room = 1;
    if (status == NC_OK)
        status = nc_journal_open(options->journal, &chat->journal);
    if (status != NC_OK) {
        nc_chat_destroy(chat);
        return status;
    }
    *out = chat;
    return NC_OK;
}

static void close_server(struct nc_chat *chat, struct chat_server *server)
{
    for (size_t i = 0; server->transfers && i < server->transfer_count; i++) {
        struct chat_transfer *transfer = &server->transfers[i];
        if (transfer->under_way)
            curl_multi_remove_handle(chat->multi, transfer->easy);
        if (transfer->easy)
            curl_easy_cleanup(transfer->easy);
        curl_slist_free_all(transfer->headers);
        free(transfer->body);
        free(transfer->bytes);
    }
    free(server->transfers);
    free(server->model);
    chat_address_free(&server->address);
}

void nc_chat_destroy(struct nc_chat *chat)
{
    if (!chat)
        return;
    for (struct chat_ready *ready; (ready = chat_ready_take(chat));) {
        cJSON_Delete(ready->record);
        free(ready);
    }
    for (size_t i = 0; i < NC_CHAT_SERVERS; i++)
        close_server(chat, &chat->servers[i]);
    while (chat->pendings)
        chat_pending_free(chat, chat->pendings);
    if (chat->multi)
        curl_multi_cleanup(chat->multi);
    nc_journal_close(chat->journal);
    curl_global_cleanup();
    free(chat);
}

/* ---- Asking ----------------------------------------------------------------------------- */

static int no_memory(void)
{
    return nc_error(NC_FAILED, "no memory for a request");
}

int chat_error_limit(const struct nc_chat *chat)
{
    if (chat->options.most_requests == 0)
        return nc_error(NC_FAILED, "the journal has no answer to a question, and no request may be "
                                   "sent: the limit is 0");
    return nc_error(NC_FAILED,
                    "stopped after the %zu requests that are allowed; the same command goes on",
                    chat->options.most_requests);
}

static void count_tokens(struct nc_chat *chat, const cJSON *record)
{
    const cJSON *prompt = nc_json_member(record, "prompt_tokens");
    const cJSON *completion = nc_json_member(record, "completion_tokens");
    chat->counts.prompt_tokens += cJSON_IsNumber(prompt) ? (size_t)prompt->valuedouble : 0;
    chat->counts.completion_tokens +=
        cJSON_IsNumber(completion) ? (size_t)completion->valuedouble : 0;
    chat->counts.reasoned += nc_json_member(record, "reasoning") != NULL;
}

static int ready_one(struct nc_chat *chat, size_t tag, cJSON *record)
{
    struct chat_ready *ready = malloc(sizeof *ready);
    if (!ready) {
        cJSON_Delete(record);
        return no_memory();
    }
    *ready = (struct chat_ready){tag, record, NULL};
    if (chat->last_ready)
        chat->last_ready->next = ready;
    else
        chat->first_ready = ready;
    chat->last_ready = ready;
    return NC_OK;
}

int chat_ready_add(struct nc_chat *chat, const struct chat_pending *pending, cJSON *record)
{
    int status = NC_OK;
    if (record)
        count_tokens(chat, record);
    for (size_t i = 1; i < pending->tag_count && status == NC_OK; i++) {
        cJSON *copy = record ? cJSON_Duplicate(record, true) : NULL;
        status = record && !copy ? no_memory() : ready_one(chat, pending->tags[i], copy);
    }
    if (status != NC_OK) {
        cJSON_Delete(record);
        return status;
    }
    return ready_one(chat, pending->tags[0], record);
}

struct chat_ready *chat_ready_take(struct nc_chat *chat)
{
    struct chat_ready *ready = chat->first_ready;
    if (ready) {
        chat->first_ready = ready->next;
        if (!ready->next)
            chat->last_ready = NULL;
    }
    return ready;
}

static int add_tag(struct chat_pending *pending, size_t tag)
{
    size_t *tags = reallocarray(pending->tags, pending->tag_count + 1, sizeof *tags);
    if (!tags)
        return no_memory();
    pending->tags = tags;
    tags[pending->tag_count++] = tag;
    return NC_OK;
}

void chat_pending_free(struct nc_chat *chat, struct chat_pending *pending)
{
    if (pending->before)
        pending->before->behind = pending->behind;
    else
        chat->pendings = pending->behind;
    if (pending->behind)
        pending->behind->before = pending->before;
    chat->open--;
    cJSON_Delete(pending->record);
    free(pending->body);
    free(pending->picture);
    free(pending->tags);
    free(pending);
}

struct chat_pending *chat_queue_take(struct chat_server *server)
{
    struct chat_pending *pending = server->first;
    server->first = pending->next_queued;
    if (!server->first)
        server->last = NULL;
    return pending;
}

static int enqueue(struct nc_chat *chat, const struct nc_chat_request *request, const char *key,
                   char **body, size_t tag)
{
    struct chat_server *server = &chat->servers[request->server];
    struct chat_pending *pending = calloc(1, sizeof *pending);
    if (!pending)
        return no_memory();
    memcpy(pending->key, key, NC_JOURNAL_KEY);
    pending->server = request->server;
    pending->behind = chat->pendings;
    if (chat->pendings)
        chat->pendings->before = pending;
    chat->pendings = pending;
    chat->open++;

    pending->record = chat_message_record(request, server->model);
    int status = pending->record ? add_tag(pending, tag) : no_memory();
    pending->one_line = request->one_line;
    if (status == NC_OK && request->picture) {
        pending->picture = malloc(request->picture_size ? request->picture_size : 1);
        pending->picture_size = request->picture_size;
        if (pending->picture)
            memcpy(pending->picture, request->picture, request->picture_size);
        else
            status = no_memory();
    }
    if (status != NC_OK) {
        chat_pending_free(chat, pending);
        return status;
    }
    pending->body = *body;
    *body = NULL;
    if (server->last)
        server->last->next_queued = pending;
    else
        server->first = pending;
    server->last = pending;
    return NC_OK;
}

/* Tokens for reasoning that a question gets which reasoning has cut before. */
static size_t most_room(const struct nc_chat *chat)
{
    return chat->options.reasoning_tokens == NC_CHAT_AS_REPORTED ? REPORTED_ROOM
                                                                 : chat->options.reasoning_tokens;
}

void chat_server_reasons(const struct nc_chat *chat, struct chat_server *server)
{
    if (!server->reasons)
        server->room = most_room(chat);
    server->reasons = true;
}

/* The kept answer, or NULL. One that reasoning has cut for want of room is kept, too, but is asked
 * for again while servers may be asked: then `key` becomes that of the question with room. */
static int find_answer(struct nc_chat *chat, struct chat_server *server, char key[NC_JOURNAL_KEY],
                       cJSON **record)
{
    char with_room[NC_JOURNAL_KEY];
    cJSON *better;
    int status = nc_journal_find(chat->journal, key, record);
    if (status != NC_OK || !*record || !chat_answer_starved(*record, most_room(chat)))
        return status;
    chat_message_key_with_room(key, most_room(chat), with_room);
    status = nc_journal_find(chat->journal, with_room, &better);
    if (status != NC_OK)
        return status;
    if (better) {
        (void)chat_answer_starved(better, 0);
        cJSON_Delete(*record);
        *record = better;
    } else if (server->transfers && chat->options.most_requests) {
        cJSON_Delete(*record);
        *record = NULL;
        chat_server_reasons(chat, server);
        memcpy(key, with_room, NC_JOURNAL_KEY);
    }
    return NC_OK;
}

int nc_chat_ask(struct nc_chat *chat, const struct nc_chat_request *request, size_t tag)
{
    struct chat_server *server = &chat->servers[request->server];
    char key[NC_JOURNAL_KEY], *body;
    cJSON *record = NULL;
    int status = chat_message_make(request, server->model ? server->model : "", &body, key);
    if (status != NC_OK)
        return status;
    status = find_answer(chat, server, key, &record);
    if (status != NC_OK) {
        cJSON_Delete(record);
        goto done;
    }
    if (record) {
        server->answered = true;
        chat->counts.remembered++;
        count_tokens(chat, record);
        status = ready_one(chat, tag, record);
        goto done;
    }
    for (struct chat_pending *other = chat->pendings; other; other = other->behind) {
        if (strcmp(other->key, key) == 0) {
            status = add_tag(other, tag);
            goto done;
        }
    }
    if (!server->transfers)
        status = chat_error_limit(chat);
    else
        status = enqueue(chat, request, key, &body, tag);
done:
    free(body);
    return status;
}

double chat_chance(uint64_t seed, const char *key)
{
    return (double)(XXH3_64bits_withSeed(key, strlen(key), seed) >> 11) * 0x1p-53;
}

const struct nc_chat_counts *nc_chat_counts(const struct nc_chat *chat)
{
    return &chat->counts;
}

const struct nc_journal *nc_chat_journal(const struct nc_chat *chat)
{
    return chat->journal;
}

const char *nc_chat_model(const struct nc_chat *chat, enum nc_chat_server server)
{
    return chat->servers[server].model;
}

const char *nc_chat_failure(const struct nc_chat *chat)
{
    return chat->failure;
}

const char *nc_chat_refused(struct nc_chat *chat, enum nc_chat_server which)
{
    struct chat_server *server = &chat->servers[which];
    chat_changes_describe(&server->changes, server->refused, sizeof server->refused);
    return server->refused;
}
