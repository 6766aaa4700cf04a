/* What the parts of the chat client share: addresses, messages on the wire, the loop. */
#ifndef NCLIP_HOST_CHAT_PARTS_H
#define NCLIP_HOST_CHAT_PARTS_H

#include "nclip/chat/chat.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- address.c ------------------------------------------------------------------- */

struct chat_address {
    char *url;     /* complete */
    char *key;     /* "Authorization: Bearer ...", or NULL */
    bool loopback; /* no proxy stands before this machine itself */
};

int chat_address_make(const char *url, enum nc_chat_server server, struct chat_address *address);
void chat_address_free(struct chat_address *address);

/* Overwrites every place of `text` where the key stands. */
void chat_hide_key(const struct chat_address *address, char *text);

/* ---- message.c ------------------------------------------------------------------- */

/* The request as the server gets it, the picture aside, and the key over everything. */
int chat_message_make(const struct nc_chat_request *request, const char *model, char **body,
                      char key[NC_JOURNAL_KEY]);

/* Puts the picture into the body: *body is replaced. */
int chat_message_add_picture(const struct nc_chat_request *request, char **body);

/* What is known of a request before its answer, for the journal. NULL without memory. */
cJSON *chat_message_record(const struct nc_chat_request *request, const char *model);

/* Adds "answer", "finish" and the numbers of tokens to the record. False, with a reason (static)
 * when the text is no chat completion; *reason is NULL without memory. */
bool chat_message_read(const char *text, size_t size, cJSON *record, const char **reason);

/* A server's own words about an error, shortened, on one line. */
void chat_message_complaint(const char *text, size_t size, char *complaint, size_t capacity);

/* The answer that a record holds; points into it. */
struct nc_chat_answer chat_message_answer(const cJSON *record);

#endif
