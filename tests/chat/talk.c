/* Asks a server of the tests and keeps what came back. */
#include "talk.h"

static int ask_next(void *context, struct nc_chat *chat, bool *more)
{
    struct talk *talk = context;
    char text[64];
    snprintf(text, sizeof text, "question %zu", talk->asked);
    const struct nc_chat_message messages[] = {{"system", "be \"brief\""},
                                               {"user", talk->same ? talk->same : text}};
    *more = talk->asked + 1 < talk->count;
    return nc_chat_ask(chat,
                       &(struct nc_chat_request){.server = NC_CHAT_TEXT,
                                                 .step = "test",
                                                 .prompt = "0123",
                                                 .messages = messages,
                                                 .message_count = 2,
                                                 .picture = talk->picture,
                                                 .picture_size = talk->picture_size,
                                                 .temperature = 0.6,
                                                 .top_p = 0.9,
                                                 .most_tokens = talk->most_tokens,
                                                 .one_line = talk->one_line,
                                                 .seed = 11},
                       talk->asked++);
}

static int note_answer(void *context, struct nc_chat *chat, size_t tag,
                       const struct nc_chat_answer *answer)
{
    struct talk *talk = context;
    (void)chat;
    assert_true(tag < talk->count && !talk->answers[tag].came);
    talk->answers[tag].came = true;
    if (answer) {
        talk->answers[tag].text = strdup(answer->text);
        talk->answers[tag].cut = answer->cut;
        talk->answers[tag].refused = answer->refused;
    }
    return NC_OK;
}

struct talk *talk_begin(server_handler handler, size_t count)
{
    struct talk *talk = calloc(1, sizeof *talk);
    talk->folder = temporary_folder_create();
    talk->journal = nc_path_join(talk->folder, "journal");
    talk->log = nc_path_join(talk->folder, "log");
    talk->count = count;
    talk->most_tokens = 5;
    nc_chat_defaults(&talk->options);
    talk->options.servers[NC_CHAT_TEXT].model = "m";
    talk->options.journal = talk->journal;
    talk->options.backoff = 0.001;
    if (handler) {
        server_start(&talk->server, handler, NULL, talk->log);
        talk->options.servers[NC_CHAT_TEXT].url = talk->server.url;
    }
    return talk;
}

static void forget(struct talk *talk)
{
    for (size_t i = 0; i < TALK_MOST; i++)
        free(talk->answers[i].text);
    memset(talk->answers, 0, sizeof talk->answers);
    talk->asked = 0;
}

int talk_run(struct talk *talk)
{
    struct nc_chat *chat;
    forget(talk);
    int status = nc_chat_create(&talk->options, &chat);
    if (status == NC_OK)
        status = nc_chat_run(chat, &(struct nc_chat_work){ask_next, note_answer, talk});
    if (chat) {
        talk->counts = *nc_chat_counts(chat);
        snprintf(talk->refused, sizeof talk->refused, "%s", nc_chat_refused(chat, NC_CHAT_TEXT));
    }
    nc_chat_destroy(chat);
    return status;
}

void talk_finish(struct talk *talk)
{
    forget(talk);
    if (talk->server.pid)
        server_stop(&talk->server);
    free(talk->journal);
    free(talk->log);
    temporary_folder_remove(talk->folder);
    free(talk);
}

char *talk_journal(const struct talk *talk)
{
    char *text;
    size_t size;
    assert_ok(nc_file_read(talk->journal, 1 << 26, &text, &size));
    return text;
}

void assert_ok(int status)
{
    if (status != NC_OK)
        fail_msg("%s", nc_error_message());
}

void assert_says(const char *piece)
{
    if (!strstr(nc_error_message(), piece))
        fail_msg("no \"%s\" in: %s", piece, nc_error_message());
}

