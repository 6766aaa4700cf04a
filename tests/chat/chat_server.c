/* Accepts connections, reads requests and lets the test's handler answer them. */
#include "chat_server.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

enum { LARGEST_REQUEST = 1 << 25, SLOTS = 1 << 15 };

static struct {
    server_handler handler;
    void *context;
    int log;
    atomic_uint under_way;
    pthread_mutex_t mutex;
    struct {
        char key[40];
        unsigned count;
    } attempts[SLOTS];
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

unsigned long server_hash(unsigned long seed, const char *a, const char *b)
{
    XXH64_hash_t hash = XXH3_64bits_withSeed(a ? a : "", a ? strlen(a) : 0, seed);
    return XXH3_64bits_withSeed(b ? b : "", b ? strlen(b) : 0, hash);
}

char *server_completion(const char *answer, const char *finish)
{
    cJSON *text = cJSON_CreateString(answer);
    char *printed = cJSON_PrintUnformatted(text), *body = NULL;
    if (asprintf(&body,
                 "{\"id\": \"x\", \"object\": \"chat.completion\", \"choices\": [{\"index\": 0, "
                 "\"message\": {\"role\": \"assistant\", \"content\": %s}, \"finish_reason\": "
                 "\"%s\"}], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 3}}",
                 printed, finish) < 0)
        abort();
    cJSON_free(printed);
    cJSON_Delete(text);
    return body;
}

static unsigned count_attempt(const char *key)
{
    size_t slot = server_hash(0, key, NULL) % SLOTS;
    pthread_mutex_lock(&state.mutex);
    while (state.attempts[slot].key[0] && strcmp(state.attempts[slot].key, key) != 0)
        slot = (slot + 1) % SLOTS;
    snprintf(state.attempts[slot].key, sizeof state.attempts[slot].key, "%s", key);
    unsigned before = state.attempts[slot].count++;
    pthread_mutex_unlock(&state.mutex);
    return before;
}

static int send_all(int socket, const char *bytes, size_t size)
{
    while (size) {
        ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return -1;
        bytes += sent;
        size -= (size_t)sent;
    }
    return 0;
}

static int send_reply(int socket, const struct server_reply *reply)
{
    char head[1024];
    size_t body = reply->body_size ? reply->body_size : strlen(reply->body);
    size_t size = body + reply->padding;
    int length = snprintf(head, sizeof head,
                          "HTTP/1.1 %d Status\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                          reply->status, reply->type ? reply->type : "application/json", size,
                          reply->headers ? reply->headers : "");
    if (reply->cut == CUT_BEFORE)
        return -1;
    if (send_all(socket, head, (size_t)length) != 0)
        return -1;
    if (reply->cut == CUT_MIDDLE) {
        send_all(socket, reply->body, body / 2);
        return -1;
    }
    if (send_all(socket, reply->body, body) != 0)
        return -1;
    static const char spaces[4096] = {[0 ... 4095] = ' '};
    for (size_t left = reply->padding; left;) {
        size_t piece = left < sizeof spaces ? left : sizeof spaces;
        if (send_all(socket, spaces, piece) != 0)
            return -1;
        left -= piece;
    }
    return 0;
}

static int answer(int socket, const struct server_request *request)
{
    struct server_reply reply = {.status = 200};
    state.handler(state.context, request, &reply);
    if (!reply.body)
        reply.body = strdup("");
    char line[256];
    int length = snprintf(line, sizeof line, "%s %d %d %u %s\n", *request->key ? request->key : "-",
                          reply.status, (int)reply.cut, state.under_way, reply.note);
    (void)!write(state.log, line, (size_t)length);
    if (reply.delay)
        usleep(reply.delay * 1000);
    int result = send_reply(socket, &reply);
    free(reply.body);
    return result;
}

static void header(const char *head, const char *name, char *value, size_t size)
{
    const char *line = strcasestr(head, name);
    value[0] = 0;
    if (line)
        snprintf(value, size, "%.*s", (int)strcspn(line + strlen(name), "\r\n"),
                 line + strlen(name));
}

static void *serve(void *argument)
{
    int socket = (int)(long)argument;
    char *bytes = malloc(LARGEST_REQUEST + 1);
    size_t used = 0;
    for (;;) {
        char *end = NULL, key[40], authorization[256], number[32], path[256];
        size_t body = 0;
        for (;;) {
            bytes[used] = 0;
            end = strstr(bytes, "\r\n\r\n");
            if (end) {
                header(bytes, "\r\nContent-Length: ", number, sizeof number);
                body = strtoul(number, NULL, 10);
                if (used >= (size_t)(end + 4 - bytes) + body)
                    break;
            }
            ssize_t count = recv(socket, bytes + used, LARGEST_REQUEST - used, 0);
            if (count <= 0)
                goto done;
            used += (size_t)count;
        }
        char *text = end + 4, kept = text[body];
        size_t whole = (size_t)(text - bytes) + body;
        *end = 0;
        text[body] = 0;
        header(bytes, "\r\nIdempotency-Key: ", key, sizeof key);
        header(bytes, "\r\nAuthorization: ", authorization, sizeof authorization);
        if (sscanf(bytes, "POST %255s", path) != 1)
            goto done;
        struct server_request request = {key, authorization, path, text, count_attempt(key)};
        state.under_way++;
        int result = answer(socket, &request);
        state.under_way--;
        if (result != 0)
            goto done;
        text[body] = kept;
        memmove(bytes, bytes + whole, used - whole);
        used -= whole;
    }
done:
    close(socket);
    free(bytes);
    return NULL;
}

static void run(int listener)
{
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int socket = accept(listener, NULL, NULL), on = 1;
        if (socket < 0)
            _exit(1);
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (pthread_create(&thread, &detached, serve, (void *)(long)socket) != 0)
            close(socket);
    }
}

void server_start(struct server *server, server_handler handler, void *context, const char *log)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) != 0 ||
        listen(listener, 128) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        perror("test server");
        abort();
    }
    snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u", ntohs(address.sin_port));
    server->pid = fork();
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        state.handler = handler;
        state.context = context;
        state.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        run(listener);
    }
    close(listener);
    if (server->pid < 0)
        abort();
}

void server_stop(struct server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}
