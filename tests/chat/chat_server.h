/* A server for tests: HTTP on loopback, in a process of its own, with a thread for each
 * connection. What it answers, and how it misbehaves, a handler decides. */
#ifndef TESTS_GENERATE_CHAT_SERVER_H
#define TESTS_GENERATE_CHAT_SERVER_H

#include <stddef.h>
#include <sys/types.h>

struct server_request {
    const char *key;           /* Idempotency-Key, or "" */
    const char *authorization; /* or "" */
    const char *path;
    const char *body; /* zero-terminated */
    unsigned attempt; /* how often this key came before */
};

enum server_cut { CUT_NOT, CUT_BEFORE, CUT_MIDDLE };

struct server_reply {
    int status;          /* 200 */
    const char *headers; /* lines that end with \r\n, or NULL */
    const char *type;    /* NULL: application/json */
    char *body;          /* malloc'd; freed by the server */
    size_t body_size;    /* 0: up to its zero */
    size_t padding;      /* spaces behind it */
    unsigned delay;      /* milliseconds before it begins */
    enum server_cut cut;
    char note[80]; /* a word for the log */
};

typedef void (*server_handler)(void *context, const struct server_request *request,
                               struct server_reply *reply);

struct server {
    pid_t pid;
    char url[64];
};

/* The log gets a line for each request, before it is answered:
 *     KEY STATUS CUT UNDER-WAY NOTE
 * Call it while the process has one thread. */
void server_start(struct server *server, server_handler handler, void *context, const char *log);
void server_stop(struct server *server);

/* {"choices": [...]} with this answer; malloc'd. */
char *server_completion(const char *answer, const char *finish);

/* A repeatable number from texts (NULL: left out). */
unsigned long server_hash(unsigned long seed, const char *a, const char *b);

#endif
