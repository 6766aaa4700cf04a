/* A server for tests of trust: HTTPS on loopback with a certificate of its own making, which
 * speaks HTTP/2 or HTTP/1.1. Every request is answered with "over HTTP/2" or "over HTTP/1.1". */
#ifndef TESTS_CHAT_TLS_SERVER_H
#define TESTS_CHAT_TLS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct tls_server {
    pid_t pid;
    char url[64];
};

/* False where the tests were built without OpenSSL. The certificate is for `host` ("127.0.0.1") and
 * is written to `certificate`; each request writes a line into `log`. */
bool tls_server_start(struct tls_server *server, const char *host, bool http2,
                      const char *certificate, const char *log);
void tls_server_stop(struct tls_server *server);

#endif
