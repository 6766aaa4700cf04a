/* A server's address, completed and checked, and the key that it wants. */
#include "parts.h"

#include "nclip/support/error.h"
#include "nclip/support/files.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const variables[NC_CHAT_SERVERS] = {
    [NC_CHAT_TEXT] = "NCLIP_TEXT_API_KEY",
    [NC_CHAT_VISION] = "NCLIP_VISION_API_KEY",
};
static const char scheme[] = "Authorization: Bearer ";

/* The key becomes a header: it must not bring others along. */
static int read_key(enum nc_chat_server server, char **header)
{
    const char *name = variables[server], *key = getenv(name);
    if (!key || !*key) {
        name = "OPENAI_API_KEY";
        key = getenv(name);
    }
    *header = NULL;
    if (!key || !*key)
        return NC_OK;
    for (const char *at = key; *at; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f)
            return nc_error(
                NC_USAGE, "the key in %s holds a space, a line break or a control character", name);
    }
    return asprintf(header, "%s%s", scheme, key) < 0
               ? (*header = NULL, nc_error(NC_FAILED, "no memory"))
               : NC_OK;
}

/* "" becomes "/v1/chat/completions", "/v1" and other bases get "/chat/completions". */
static int complete_path(CURLU *parts)
{
    char *path = NULL, *whole = NULL;
    if (curl_url_get(parts, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        return nc_error(NC_FAILED, "no memory");
    size_t length = strlen(path);
    while (length && path[length - 1] == '/')
        path[--length] = 0;
    const char *rest = nc_path_ends(path, "/chat/completions") ? ""
                       : length                        ? "/chat/completions"
                                                       : "/v1/chat/completions";
    int status = NC_OK;
    if (asprintf(&whole, "%s%s", path, rest) < 0 ||
        curl_url_set(parts, CURLUPART_PATH, whole, 0) != CURLUE_OK)
        status = nc_error(NC_FAILED, "no memory");
    free(whole);
    curl_free(path);
    return status;
}

static bool has(CURLU *parts, CURLUPart part)
{
    char *text = NULL;
    bool there = curl_url_get(parts, part, &text, 0) == CURLUE_OK && text;
    curl_free(text);
    return there;
}

static int check(CURLU *parts, const char *url)
{
    char *name = NULL;
    bool http = curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &name, 0) == CURLUE_OK &&
                (strcmp(name, "http") == 0 || strcmp(name, "https") == 0);
    curl_free(name);
    if (!http)
        return nc_error(NC_USAGE,
                        "\"%s\" is no address of a server: it must look like "
                        "http://127.0.0.1:8080 or https://host/v1",
                        url);
    /* The message must not show what stands there. */
    if (has(parts, CURLUPART_USER) || has(parts, CURLUPART_PASSWORD))
        return nc_error(NC_USAGE, "the address of a server holds a name or password: put the key "
                                  "into NCLIP_TEXT_API_KEY or NCLIP_VISION_API_KEY instead");
    return NC_OK;
}

int chat_address_make(const char *url, enum nc_chat_server server, struct chat_address *address)
{
    char *text = NULL, *host = NULL, *shown = NULL;
    *address = (struct chat_address){0};
    CURLU *parts = curl_url();
    if (!parts)
        return nc_error(NC_FAILED, "no memory");
    int status = check(parts, url);
    if (status == NC_OK)
        status = complete_path(parts);
    if (status == NC_OK && (curl_url_get(parts, CURLUPART_URL, &text, 0) != CURLUE_OK ||
                            curl_url_get(parts, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
                            !(address->url = strdup(text))))
        status = nc_error(NC_FAILED, "no memory");
    /* Some services take their key from the query. */
    if (status == NC_OK && (curl_url_set(parts, CURLUPART_QUERY, NULL, 0) != CURLUE_OK ||
                            curl_url_get(parts, CURLUPART_URL, &shown, 0) != CURLUE_OK ||
                            !(address->shown = strdup(shown))))
        status = nc_error(NC_FAILED, "no memory");
    if (status == NC_OK) {
        address->loopback = strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
                            strcmp(host, "[::1]") == 0;
        status = read_key(server, &address->key);
    }
    curl_free(text);
    curl_free(shown);
    curl_free(host);
    curl_url_cleanup(parts);
    if (status != NC_OK)
        chat_address_free(address);
    return status;
}

void chat_address_free(struct chat_address *address)
{
    free(address->url);
    free(address->shown);
    free(address->key);
    *address = (struct chat_address){0};
}

void chat_hide_long_key(const struct chat_address *address, char *text)
{
    enum { NO_WORD = 16 };
    if (address->key && strlen(address->key + sizeof scheme - 1) >= NO_WORD)
        chat_hide_key(address, text);
}

void chat_hide_key(const struct chat_address *address, char *text)
{
    const char *key = address->key ? address->key + sizeof scheme - 1 : "";
    for (char *at = text; *key && (at = strstr(at, key)); at += strlen(key))
        memset(at, '*', strlen(key));
}
