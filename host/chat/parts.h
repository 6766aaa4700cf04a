/* What the chat client's loop (client.c) and its queue (queue.c) stand on: servers' addresses, the
 * requests to servers, and what they answer. */
#ifndef NCLIP_HOST_CHAT_PARTS_H
#define NCLIP_HOST_CHAT_PARTS_H

#include "nclip/chat/chat.h"
#include "nclip/formats/json.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- address.c ------------------------------------------------------------------- */

struct chat_address {
    char *url;     /* complete */
    char *shown;   /* the same without its query, which may hold a key */
    char *key;     /* "Authorization: Bearer ...", or NULL */
    bool loopback; /* no proxy stands before this machine itself */
};

int chat_address_make(const char *url, enum nc_chat_server server, struct chat_address *address);
void chat_address_free(struct chat_address *address);

/* Overwrites every place of `text` where the key stands. */
void chat_hide_key(const struct chat_address *address, char *text);

/* Likewise in what is kept, where a key of a few letters ("none", which local servers are given)
 * would be found in ordinary words: only keys that no word can be are looked for. */
void chat_hide_long_key(const struct chat_address *address, char *text);

/* ---- message.c ------------------------------------------------------------------- */

/* The request as a server gets it unless it refuses something, the picture aside, and the key over
 * everything. */
int chat_message_make(const struct nc_chat_request *request, const char *model, char **body,
                      char key[NC_JOURNAL_KEY]);

/* The key of the same question asked again with more room for reasoning. */
void chat_message_key_with_room(const char key[NC_JOURNAL_KEY], size_t room,
                                char with_room[NC_JOURNAL_KEY]);

/* Puts the picture into the body: *body is replaced. */
int chat_message_add_picture(const uint8_t *picture, size_t size, char **body);

/* What is known of a request before its answer, for the journal. NULL without memory. */
cJSON *chat_message_record(const struct nc_chat_request *request, const char *model);

/* ---- reasoning.c ------------------------------------------------------------------ */

struct chat_reasoning {
    bool found; /* something was taken out */
    bool open;  /* a block never ends: the answer was cut before it began */
};

/* Takes out what a model wrote for itself, in place: <think>...</think> and its kin in every
 * bracket, a block whose beginning stood in the prompt, harmony's channels; of <answer>...</answer>
 * and its kin the inside stays. Applied twice it changes nothing more. */
struct chat_reasoning chat_reasoning_remove(char *text);

/* ---- stream.c -------------------------------------------------------------------- */

/* Whether the bytes are server-sent events. */
bool chat_stream_is(const char *bytes, size_t size);

/* The completion that the events come to, as if it had been sent at once; an event that tells an
 * error is the result. *whole: the stream came to its end. NULL without memory. */
cJSON *chat_stream_read(const char *bytes, size_t size, bool *whole);

/* ---- complaint.c ----------------------------------------------------------------- */

struct chat_complaint {
    size_t status;   /* 400 .. 599, as the body names it; 0: it does not */
    bool paid_up;    /* a quota is used up: waiting does not help */
    char names[256]; /* what it says the complaint is about: "max_tokens messages[0].role " */
    char text[2048]; /* its own words, on one line; "" when there are none */
};

/* Whether the JSON is about an error; fills the complaint. */
bool chat_complaint_find(const cJSON *root, struct chat_complaint *complaint);

/* Of any body: JSON, a page, a line of text, events; a zero stands behind it. */
void chat_complaint_read(const char *bytes, size_t size, struct chat_complaint *complaint);

/* ---- answer.c -------------------------------------------------------------------- */

struct chat_reading {
    enum { CHAT_ANSWERED, CHAT_COMPLAINED, CHAT_UNREADABLE, CHAT_NO_MEMORY } kind;
    const char *reason; /* static: why it is unreadable */
    bool reasons;       /* the model reasons before it answers */
    bool starved;       /* and its reasoning took the tokens that the answer needed */
};

/* Reads a response, in which escaped halves of characters and zeros are replaced. Answered: *answer
 * is an object of the caller's with "answer", "finish", numbers of tokens, and what was found.
 * `one_line`: the answer ends at its first line feed, whether or not the server looked for it. */
struct chat_reading chat_answer_read(char *bytes, size_t size, bool one_line, cJSON **answer,
                                     struct chat_complaint *complaint);

/* Overwrites the server's key in what a record will keep. */
void chat_answer_hide_key(cJSON *answer, const struct chat_address *address);

/* Moves the members of `answer` to `record`; frees `answer`. False without memory. */
bool chat_answer_add(cJSON *record, cJSON *answer);

/* Whether reasoning took the tokens of a kept answer that had less room than `room`. Records of
 * older journals lose their reasoning here. */
bool chat_answer_starved(cJSON *record, size_t room);

/* The answer that a record holds; points into it. */
struct nc_chat_answer chat_answer_of(const cJSON *record);

/* ---- changes.c ------------------------------------------------------------------- */

enum { CHAT_MOST_CHANGES = 32, CHAT_NAME = 64 };

/* One thing that a server wants otherwise. */
struct chat_change {
    enum chat_change_kind {
        CHAT_RENAME,    /* the member `name` is called `to` */
        CHAT_LEAVE_OUT, /* no such member, at any depth */
        CHAT_BOUND,     /* a number within least .. most */
        CHAT_SWITCH_ON, /* true */
        CHAT_NO_SYSTEM, /* what the system says stands before what the user says */
    } kind;
    char name[CHAT_NAME], to[CHAT_NAME];
    double least, most;
    bool proved;      /* a request that was sent so was answered */
    bool taken_back;  /* it was not what the server meant */
    const void *from; /* whose refusal taught it */
};

struct chat_changes {
    struct chat_change items[CHAT_MOST_CHANGES];
    size_t count;
};

enum chat_lesson {
    CHAT_LEARNED_NOTHING,
    CHAT_LEARNED,   /* one more change */
    CHAT_LESS_ROOM, /* question and limit on tokens do not fit into the context together */
};

/* The body after the first `count` changes, with `room` added to its limit on tokens; `reasons`: it
 * does not stop at a line feed, at which reasoning would end. NULL without memory. */
char *chat_changes_apply(const struct chat_changes *changes, size_t count, const char *body,
                         size_t room, bool reasons);

/* Reads a refusal of `sent`, a body without its picture that had `room` added. */
enum chat_lesson chat_changes_learn(struct chat_changes *changes, const char *sent, size_t room,
                                    const struct chat_complaint *complaint, const void *from);

/* `from` was refused all the same: what nobody else proved is forgotten. */
void chat_changes_take_back(struct chat_changes *changes, const void *from);
/* An answer came to a request with the first `count` changes. */
void chat_changes_prove(struct chat_changes *changes, size_t count);

/* "max_tokens (max_completion_tokens is sent), seed (left out)"; "" without changes. */
void chat_changes_describe(const struct chat_changes *changes, char *text, size_t capacity);

#endif
