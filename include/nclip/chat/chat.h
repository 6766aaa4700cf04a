/* The client of language models on any server with OpenAI's /v1/chat/completions (vLLM, llama.cpp's
 * server, Ollama, a hosted one). It talks to two servers, one for text and one that sees pictures,
 * with many questions at once. Every answer is in the journal before it counts.
 *
 *     nc_chat_create(&options, &chat);
 *     nc_chat_run(chat, &work);      // work.next asks, work.answered uses answers and asks more
 *     nc_chat_destroy(chat);
 *
 * A question's key is a hash of its step, model, messages, parameters and picture. A question whose
 * answer is in the journal is not sent, and one that is under way is not sent twice. The key goes
 * to the server as the header Idempotency-Key.
 *
 * A request is sent again, after growing waits with jitter, when the connection was cut, the time
 * ran out, the answer was no chat completion, or the status was 408, 409, 425, 429 or 5xx, as the
 * response's or as one that its body names. Retry-After is honoured, in seconds or as a date. A
 * server stops the run at once when it wants a key, has no such model or address, has a certificate
 * that cannot be trusted, or says that the quota is used up. Redirections are not followed: a key
 * goes to no other host than the one named.
 *
 * When a server refuses a part of a request (a limit on tokens by its name, a temperature, a seed,
 * ...), that part is from then on sent as the refusal asks for, or left out; nc_chat_refused() tells
 * which. The question and its key stay the same.
 *
 * Answers may come at once or as a stream of events, compressed, over HTTP/1.1 or HTTP/2. The text
 * that a model writes for itself before it answers (<think> and the like, reasoning_content,
 * harmony's channels) is left out. Such models need more tokens than the answer has:
 * `reasoning_tokens`.
 */
#ifndef NCLIP_CHAT_CHAT_H
#define NCLIP_CHAT_CHAT_H

#include "nclip/chat/journal.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nc_chat_server { NC_CHAT_TEXT, NC_CHAT_VISION, NC_CHAT_SERVERS };

/* Keys come from the environment only: NCLIP_TEXT_API_KEY and NCLIP_VISION_API_KEY, else
 * OPENAI_API_KEY. They appear in no file and no message. */
#define NC_CHAT_AS_REPORTED SIZE_MAX

struct nc_chat_options {
    struct {
        const char *url;   /* "http://127.0.0.1:8080", with or without /v1/chat/completions; NULL:
                              nothing can be sent, and only the journal answers */
        const char *model; /* NULL: not there */
    } servers[NC_CHAT_SERVERS];
    const char *journal;
    size_t concurrency;   /* requests under way at once, for each server */
    size_t most_requests; /* sent by this run, repetitions counted; SIZE_MAX: no limit */
    size_t tries;         /* of one request before it is given up */
    double backoff;       /* seconds before the second try; doubles from try to try */
    double timeout;       /* seconds for one try, above 0; counts in whole ms */
    /* Added to each limit on tokens. NC_CHAT_AS_REPORTED: 4096 once a server's answer shows that
     * its model reasons; answers that this cut until then are asked for again. */
    size_t reasoning_tokens;
    uint64_t seed;        /* of the jitter */
};

/* For tables of options and tests: the values that --help names. */
void nc_chat_defaults(struct nc_chat_options *options);

struct nc_chat_message {
    const char *role; /* "system", "user" or "assistant" */
    const char *text;
};

/* All of it is copied. */
struct nc_chat_request {
    enum nc_chat_server server;
    const char *step;   /* "object"; part of the key */
    const char *prompt; /* hash of the prompt file, for the journal */
    const struct nc_chat_message *messages;
    size_t message_count;
    const uint8_t *picture; /* JPEG or PNG, shown before the last message; NULL: none */
    size_t picture_size;
    double temperature, top_p;
    size_t most_tokens;
    bool one_line; /* the model stops at a line feed */
    uint32_t seed;
};

/* Whether the bytes are a JPEG or PNG of a size that servers take (32 MiB). */
bool nc_chat_can_show(const uint8_t *picture, size_t size);

struct nc_chat_answer {
    const char *text; /* without reasoning; "" when refused without a word */
    bool cut;         /* it reached most_tokens, or its reasoning did and never ended */
    size_t refused;   /* the status with which the server refused this one request (200: the
                         model or a filter refused to answer it), or 0 */
};

struct nc_chat;

struct nc_chat_work {
    /* Begins one more item, with nc_chat_ask() or without; sets *more to false when there is
     * none left. Called when there is room for more requests. */
    int (*next)(void *context, struct nc_chat *chat, bool *more);
    /* `answer` is NULL when all tries failed. It is valid during the call, which may ask on. */
    int (*answered)(void *context, struct nc_chat *chat, size_t tag,
                    const struct nc_chat_answer *answer);
    void *context;
};

struct nc_chat_counts {
    size_t sent, repeated; /* requests, and how many of them were repetitions */
    size_t answered;       /* by a server */
    size_t remembered;     /* answers from the journal */
    size_t reasoned;       /* answers with reasoning, which was left out */
    size_t failed;         /* given up */
    size_t prompt_tokens,
        completion_tokens; /* as servers count them; of answers used, old and new */
};

/* NC_USAGE for what is no http or https address or holds a name and password; else as
 * nc_journal_open(). */
int nc_chat_create(const struct nc_chat_options *options, struct nc_chat **chat);
void nc_chat_destroy(struct nc_chat *chat); /* NULL is allowed */

/* The answer comes to work.answered() with `tag`, never during this call. */
int nc_chat_ask(struct nc_chat *chat, const struct nc_chat_request *request, size_t tag);

/* Until all items are done. Stops early, with what was answered in the journal, when
 * nc_signals_stop(), when the limit of requests is reached, or when a server is gone: NC_FAILED,
 * and the same call later goes on. Requests under way are waited for, as they are paid. */
int nc_chat_run(struct nc_chat *chat, const struct nc_chat_work *work);

const struct nc_chat_counts *nc_chat_counts(const struct nc_chat *chat);
const struct nc_journal *nc_chat_journal(const struct nc_chat *chat);
const char *nc_chat_model(const struct nc_chat *chat, enum nc_chat_server server); /* or NULL */

/* What the server refused and what is sent instead: "max_tokens (max_completion_tokens is sent),
 * seed (left out)"; "" when it refused nothing. Valid until the next call. */
const char *nc_chat_refused(struct nc_chat *chat, enum nc_chat_server server);

/* Why the last request was given up; "" when none was. Valid until the next one is. */
const char *nc_chat_failure(const struct nc_chat *chat);

#endif
