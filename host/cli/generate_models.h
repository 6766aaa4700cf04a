/* The options about model servers that several kinds of `nclip generate` have. */
#ifndef NCLIP_HOST_CLI_GENERATE_MODELS_H
#define NCLIP_HOST_CLI_GENERATE_MODELS_H

#include "nclip/chat/chat.h"
#include "nclip/chat/prompts.h"
#include "nclip/cli/command.h"

#include <stdbool.h>

struct generate_models {
    struct nc_chat_options chat;
    const char *prompts, *write_prompts; /* folders, or NULL */
    double temperature, top_p;
    char *journal; /* the default one; owned */
};

void generate_models_defaults(struct generate_models *models);
void generate_models_free(struct generate_models *models);

/* Rows of an option table. */
#define GENERATE_TEXT_OPTIONS(m)                                                                   \
    {"--text-url", "URL", "server of the text model, such as http://127.0.0.1:8080",               \
     NC_OPTION_STRING, &(m).chat.servers[NC_CHAT_TEXT].url},                                       \
    {                                                                                              \
        "--text-model", "NAME", "as its server calls it", NC_OPTION_STRING,                        \
            &(m).chat.servers[NC_CHAT_TEXT].model                                                  \
    }
#define GENERATE_VISION_OPTIONS(m)                                                                 \
    {"--vision-url", "URL", "server of the model that sees pictures (default: --text-url)",        \
     NC_OPTION_STRING, &(m).chat.servers[NC_CHAT_VISION].url},                                     \
    {                                                                                              \
        "--vision-model", "NAME", "as its server calls it", NC_OPTION_STRING,                      \
            &(m).chat.servers[NC_CHAT_VISION].model                                                \
    }
#define GENERATE_REQUEST_OPTIONS(m)                                                                \
    {"--journal", "FILE", "where answers are kept (default: OUT.journal)", NC_OPTION_STRING,       \
     &(m).chat.journal},                                                                           \
        {"--prompts", "DIR", "prompt files that take the place of the built-in ones",              \
         NC_OPTION_STRING, &(m).prompts},                                                          \
        {"--concurrency", "N", "requests at once for each server (default: 16)", NC_OPTION_SIZE,   \
         &(m).chat.concurrency},                                                                   \
        {"--max-requests", "N",                                                                    \
         "stop after so many, repetitions counted; 0: only what the journal answers "              \
         "(default: no limit)",                                                                    \
         NC_OPTION_SIZE, &(m).chat.most_requests},                                                 \
        {"--tries", "N", "of one request before it is given up (default: 8)", NC_OPTION_SIZE,      \
         &(m).chat.tries},                                                                         \
        {"--backoff", "SECONDS", "before the second try; doubles from try to try (default: 0.5)",  \
         NC_OPTION_NUMBER, &(m).chat.backoff},                                                     \
        {"--timeout", "SECONDS", "for one answer, from 0.001 (default: 300)", NC_OPTION_NUMBER,    \
         &(m).chat.timeout},                                                                       \
        {"--reasoning-tokens", "N",                                                                \
         "more tokens for an answer, for models that reason before it; 0: none (default: 4096 "    \
         "once a server's answers show that its model does)",                                      \
         NC_OPTION_SIZE, &(m).chat.reasoning_tokens},                                              \
        {"--temperature", "T", "of the text model (default: 0.6, as in the paper)",                \
         NC_OPTION_NUMBER, &(m).temperature},                                                      \
    {                                                                                              \
        "--top-p", "P", "of the text model (default: 0.9, as in the paper)", NC_OPTION_NUMBER,     \
            &(m).top_p                                                                             \
    }

/* After parsing: checks the values, and puts the journal beside `out`. Nothing is opened. */
int generate_models_check(struct generate_models *models, const char *out, bool vision,
                          size_t seed);

/* Opens the client, and says on standard error what of the journal could not be used. */
int generate_models_open(const struct generate_models *models, struct nc_chat **chat);

/* What the requests came to, for people or as members of a JSON object (with a comma before). */
void generate_models_print(struct nc_chat *chat, bool json);

/* A paragraph of --help on starting a server. */
#define GENERATE_SERVER_HELP                                                                       \
    "\n\nThe servers: any that speaks OpenAI's /v1/chat/completions. On your own machine, one "    \
    "of\n"                                                                                         \
    "  vllm serve llava-hf/llava-v1.6-mistral-7b-hf --port 8001\n"                                 \
    "  llama-server -m model.gguf --port 8080 --parallel 16 -c 32768\n"                            \
    "  ollama serve    (then --text-url http://127.0.0.1:11434 --text-model llama3)\n"             \
    "Keys are read from NCLIP_TEXT_API_KEY and NCLIP_VISION_API_KEY, else OPENAI_API_KEY, and "    \
    "are written nowhere.\n\n"                                                                     \
    "Every answer is in the journal before it counts. A run that was stopped, killed or cut off "  \
    "goes on with the same command: nothing is asked twice, and the result is the same."

#endif
