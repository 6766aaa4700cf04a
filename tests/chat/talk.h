/* Questions to a server of the tests, and what came back: for tests of the chat client. */
#ifndef TESTS_CHAT_TALK_H
#define TESTS_CHAT_TALK_H

#include "../support/temporary_folder.h"
#include "chat_server.h"
#include "nclip/chat/chat.h"
#include "nclip/support/error.h"
#include "nclip/support/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TALK_MOST = 64 };

/* Questions "question 0" ... and what came back. */
struct talk {
    char *folder, *journal, *log;
    struct server server;
    struct nc_chat_options options;
    size_t count, asked;
    const char *same; /* asked every time instead of a number */
    const uint8_t *picture;
    size_t picture_size;
    bool one_line;
    size_t most_tokens; /* 5 */
    struct {
        char *text; /* NULL: given up */
        bool cut, came;
        size_t refused;
    } answers[TALK_MOST];
    struct nc_chat_counts counts;
    char refused[512]; /* as nc_chat_refused() */
};

/* `handler` NULL: no server. */
struct talk *talk_begin(server_handler handler, size_t count);
/* Asks `count` questions; the status of nc_chat_run(). */
int talk_run(struct talk *talk);
void talk_finish(struct talk *talk);
/* Everything that the journal holds; malloc'd. */
char *talk_journal(const struct talk *talk);

void assert_ok(int status);
void assert_says(const char *piece); /* nc_error_message() does */

#endif
