/* Checks and completes the options that are about model servers. */
#include "generate_models.h"

#include "nclip/support/error.h"
#include "nclip/support/terminal.h"

#include <stdio.h>
#include <stdlib.h>

void generate_models_defaults(struct generate_models *models)
{
    *models = (struct generate_models){.temperature = 0.6, .top_p = 0.9};
    nc_chat_defaults(&models->chat);
}

void generate_models_free(struct generate_models *models)
{
    free(models->journal);
}

int generate_models_check(struct generate_models *models, const char *out, bool vision, size_t seed)
{
    struct nc_chat_options *chat = &models->chat;
    if (chat->concurrency < 1 || chat->concurrency > 1024)
        return nc_error(NC_USAGE, "--concurrency is 1 to 1024");
    if (chat->tries < 1 || chat->tries > 100)
        return nc_error(NC_USAGE, "--tries is 1 to 100");
    if (!(chat->backoff >= 0 && chat->backoff <= 3600))
        return nc_error(NC_USAGE, "--backoff is 0 to 3600 seconds");
    if (!(chat->timeout >= 0.001 && chat->timeout <= 86400))
        return nc_error(NC_USAGE, "--timeout is 0.001 to 86400 seconds");
    if (chat->reasoning_tokens != NC_CHAT_AS_REPORTED && chat->reasoning_tokens > 1000000)
        return nc_error(NC_USAGE, "--reasoning-tokens is 0 to 1000000");
    if (!(models->temperature >= 0 && models->temperature <= 10))
        return nc_error(NC_USAGE, "--temperature is 0 to 10");
    if (!(models->top_p > 0 && models->top_p <= 1))
        return nc_error(NC_USAGE, "--top-p is more than 0 and at most 1");
    if (!vision)
        chat->servers[NC_CHAT_VISION].url = chat->servers[NC_CHAT_VISION].model = NULL;
    else if (!chat->servers[NC_CHAT_VISION].url)
        chat->servers[NC_CHAT_VISION].url = chat->servers[NC_CHAT_TEXT].url;
    for (int which = 0; which < (vision ? NC_CHAT_SERVERS : NC_CHAT_VISION); which++) {
        const char *name = which == NC_CHAT_TEXT ? "text" : "vision";
        if (!chat->servers[which].model)
            return nc_error(NC_USAGE,
                            "a %s model is needed: --%s-model NAME, and --%s-url URL of "
                            "its server",
                            name, name, name);
        if (!chat->servers[which].url && chat->most_requests != 0)
            return nc_error(NC_USAGE,
                            "the %s model's server is needed: --%s-url URL (or --max-requests 0, "
                            "when the journal has every answer)",
                            name, name);
    }
    chat->seed = seed;
    if (!chat->journal) {
        if (asprintf(&models->journal, "%s.journal", out) < 0) {
            models->journal = NULL;
            return nc_error(NC_FAILED, "no memory");
        }
        chat->journal = models->journal;
    }
    return NC_OK;
}

int generate_models_open(const struct generate_models *models, struct nc_chat **chat)
{
    int status = nc_chat_create(&models->chat, chat);
    if (status != NC_OK)
        return status;
    const struct nc_journal *journal = nc_chat_journal(*chat);
    size_t line, damaged = nc_journal_damaged(journal, &line), cut = nc_journal_cut(journal);
    if (cut)
        fprintf(stderr, "%s: an unfinished record of %zu bytes was cut away\n",
                models->chat.journal, cut);
    if (damaged)
        fprintf(stderr,
                "%s: %zu damaged lines (the first is line %zu) are passed over; what they answered "
                "is asked again\n",
                models->chat.journal, damaged, line);
    return NC_OK;
}

/* Parameters that servers refused: what they then did by themselves is not what was asked for. */
static void print_refused(struct nc_chat *chat, bool json)
{
    static const char *const names[] = {[NC_CHAT_TEXT] = "text", [NC_CHAT_VISION] = "vision"};
    for (int which = 0; which < NC_CHAT_SERVERS; which++) {
        const char *refused = nc_chat_refused(chat, (enum nc_chat_server)which);
        if (json) {
            cJSON *text = cJSON_CreateString(refused);
            char *printed = text ? cJSON_PrintUnformatted(text) : NULL;
            printf(", \"%s_server_refused\": %s", names[which], printed ? printed : "\"\"");
            cJSON_free(printed);
            cJSON_Delete(text);
        } else if (*refused) {
            printf("  the %s model's server refused ", names[which]);
            nc_terminal_print(stdout, refused);
            printf("\n");
        }
    }
}

void generate_models_print(struct nc_chat *chat, bool json)
{
    const struct nc_chat_counts *counts = nc_chat_counts(chat);
    const struct nc_journal *journal = nc_chat_journal(chat);
    size_t line, damaged = nc_journal_damaged(journal, &line);
    if (json) {
        printf(", \"requests\": %zu, \"repeated\": %zu, \"answered\": %zu, \"remembered\": %zu, "
               "\"given_up\": %zu, \"prompt_tokens\": %zu, \"completion_tokens\": %zu, "
               "\"reasoned\": %zu, \"journal_damaged\": %zu",
               counts->sent, counts->repeated, counts->answered, counts->remembered, counts->failed,
               counts->prompt_tokens, counts->completion_tokens, counts->reasoned, damaged);
        print_refused(chat, true);
        return;
    }
    printf("requests\n"
           "  %8zu sent, of which %zu repeat one that failed\n"
           "  %8zu answers new, %zu from the journal\n",
           counts->sent, counts->repeated, counts->answered, counts->remembered);
    if (counts->reasoned)
        printf("  %8zu answers with reasoning, which was left out\n", counts->reasoned);
    if (counts->prompt_tokens || counts->completion_tokens)
        printf("  %8zu tokens read and %zu written by models, as they count\n",
               counts->prompt_tokens, counts->completion_tokens);
    print_refused(chat, false);
}
