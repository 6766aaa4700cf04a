/* The client's state: requests between nc_chat_ask() and their answers, which are queued, under
 * way, waiting to be tried again, or answered. */
#ifndef NCLIP_HOST_CHAT_QUEUE_H
#define NCLIP_HOST_CHAT_QUEUE_H

#include "parts.h"

#include <curl/curl.h>
#include <stdio.h>
#include <time.h>

struct chat_pending {
    char key[NC_JOURNAL_KEY];
    enum nc_chat_server server;
    char *body;       /* as it would be sent to a server that refuses nothing, without picture */
    uint8_t *picture; /* or NULL */
    size_t picture_size;
    bool one_line;
    cJSON *record; /* all but the answer */
    size_t *tags;  /* of everyone who asked the same */
    size_t tag_count, tries;
    bool was_sent;
    size_t changes, room; /* with which it was sent last */
    double not_before;    /* of nc_seconds() */
    struct chat_pending *next_queued;
    struct chat_pending *before, *behind; /* of all that are open */
};

struct chat_ready {
    size_t tag;
    cJSON *record; /* NULL: given up */
    struct chat_ready *next;
};

struct chat_transfer {
    CURL *easy;
    struct curl_slist *headers;
    struct chat_pending *pending; /* NULL: free */
    bool under_way, too_large;
    char *body;           /* what is sent */
    char *bytes;          /* what came back, with a zero behind it */
    size_t used, capacity;
    double asked_to_wait; /* seconds, from Retry-After; 0: not */
    time_t retry_date, date;
    char problem[CURL_ERROR_SIZE];
};

struct chat_server {
    struct chat_address address; /* url NULL: only the journal answers */
    char *model;
    struct chat_transfer *transfers;
    size_t transfer_count;
    struct chat_pending *first, *last; /* queued */
    double not_before;
    bool answered;   /* it works: now, or when the journal was written */
    size_t given_up; /* requests in a row */
    struct chat_changes changes;
    bool reasons; /* its model writes for itself before it answers */
    size_t room;  /* tokens for that */
    char refused[512];
};

struct nc_chat {
    struct nc_chat_options options;
    struct nc_journal *journal;
    CURLM *multi;
    struct chat_server servers[NC_CHAT_SERVERS];
    struct chat_pending *pendings; /* all that are open */
    size_t open, room, under_way;
    struct chat_ready *first_ready, *last_ready;
    struct nc_chat_counts counts;
    bool unsynced;
    int stop_status;
    char stop_message[1024], failure[768];
};

struct chat_pending *chat_queue_take(struct chat_server *server);
void chat_pending_free(struct nc_chat *chat, struct chat_pending *pending);

/* Gives everyone who asked the record (owned by this call; NULL: given up). */
int chat_ready_add(struct nc_chat *chat, const struct chat_pending *pending, cJSON *record);
struct chat_ready *chat_ready_take(struct nc_chat *chat); /* the caller's, or NULL */

/* 0 .. 1, from the seed and the key alone. */
double chat_chance(uint64_t seed, const char *key);

/* The server's model reasons: its limits get room, if the options say so. */
void chat_server_reasons(const struct nc_chat *chat, struct chat_server *server);

/* ---- transfer.c --------------------------------------------------------------------------- */

/* Readies the transfer's handle for its pending request, as the server wants it. */
int chat_transfer_set_up(const struct nc_chat *chat, struct chat_transfer *transfer);

/* Seconds for which the response asks not to be asked again; 0: it does not. A date counts from the
 * server's own clock where the response tells it. */
double chat_transfer_retry_after(const struct chat_transfer *transfer);

/* NC_FAILED: the limit of requests is reached. */
int chat_error_limit(const struct nc_chat *chat);

#endif
