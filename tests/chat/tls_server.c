/* Serves HTTPS with a certificate of its own making. */
#include "tls_server.h"

#ifndef TESTS_WITH_OPENSSL

bool tls_server_start(struct tls_server *server, const char *host, bool http2,
                      const char *certificate, const char *log)
{
    (void)server;
    (void)host;
    (void)http2;
    (void)certificate;
    (void)log;
    return false;
}

void tls_server_stop(struct tls_server *server)
{
    (void)server;
}

#else

#include "chat_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    SSL_CTX *context;
    bool http2;
    int log;
} state;

static void need(bool done, const char *what)
{
    if (!done) {
        fprintf(stderr, "test server: %s\n", what);
        abort();
    }
}

/* ---- The certificate ---------------------------------------------------------------------- */

static void make_certificate(const char *host, const char *path)
{
    char names[128];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    bool number = strspn(host, "0123456789.") == strlen(host);
    snprintf(names, sizeof names, "%s:%s", number ? "IP" : "DNS", host);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    need(extension && X509_add_ext(certificate, extension, -1), "subject");
    X509_EXTENSION_free(extension);
    need(X509_sign(certificate, key, EVP_sha256()) > 0, "signature");
    need(SSL_CTX_use_certificate(state.context, certificate) == 1 &&
             SSL_CTX_use_PrivateKey(state.context, key) == 1,
         "certificate");
    FILE *out = fopen(path, "w");
    need(out && PEM_write_X509(out, certificate) == 1 && fclose(out) == 0, path);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *length,
                           const unsigned char *offered, unsigned size, void *context)
{
    static const unsigned char known[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)context;
    const unsigned char *from = state.http2 ? known : known + 3;
    return SSL_select_next_proto((unsigned char **)out, length, from, state.http2 ? 12 : 9, offered,
                                 size) == OPENSSL_NPN_NEGOTIATED
               ? SSL_TLSEXT_ERR_OK
               : SSL_TLSEXT_ERR_NOACK;
}

/* ---- HTTP/1.1 ------------------------------------------------------------------------------ */

static bool read_all(SSL *ssl, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        int count = SSL_read(ssl, (char *)bytes + done, (int)(size - done));
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

static void note(const char *what)
{
    (void)!write(state.log, what, strlen(what));
}

static void serve_http1(SSL *ssl)
{
    char head[8192] = "";
    size_t used = 0;
    while (used + 1 < sizeof head && read_all(ssl, head + used, 1)) {
        head[++used] = 0;
        if (used < 4 || strcmp(head + used - 4, "\r\n\r\n") != 0)
            continue;
        const char *length = strcasestr(head, "\r\nContent-Length: ");
        size_t left = length ? strtoul(length + 18, NULL, 10) : 0;
        for (char byte; left && read_all(ssl, &byte, 1);)
            left--;
        note("HTTP/1.1\n");
        char *body = server_completion("over HTTP/1.1", "stop");
        used = (size_t)snprintf(head, sizeof head,
                                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                "Content-Length: %zu\r\n\r\n%s",
                                strlen(body), body);
        free(body);
        if (SSL_write(ssl, head, (int)used) <= 0)
            return;
        used = 0;
    }
}

/* ---- HTTP/2 (RFC 9113): just enough, and headers are not read --------------------------------- */

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW = 8, END_STREAM = 1, ACK = 1, END_HEADERS = 4 };

static bool send_frame(SSL *ssl, unsigned type, unsigned flags, unsigned stream, const void *bytes,
                       size_t size)
{
    unsigned char frame[9 + 16384] = {(unsigned char)(size >> 16),   (unsigned char)(size >> 8),
                                      (unsigned char)size,           (unsigned char)type,
                                      (unsigned char)flags,          (unsigned char)(stream >> 24),
                                      (unsigned char)(stream >> 16), (unsigned char)(stream >> 8),
                                      (unsigned char)stream};
    if (size)
        memcpy(frame + 9, bytes, size);
    return SSL_write(ssl, frame, (int)(9 + size)) > 0;
}

static bool send_answer(SSL *ssl, unsigned stream)
{
    /* ":status: 200" of the static table; content-type by its number there. */
    static const unsigned char headers[] = "\x88\x0f\x10\x10" "application/json";
    char *body = server_completion("over HTTP/2", "stop");
    note("HTTP/2\n");
    bool sent = send_frame(ssl, HEADERS, END_HEADERS, stream, headers, sizeof headers - 1) &&
                send_frame(ssl, DATA, END_STREAM, stream, body, strlen(body));
    free(body);
    return sent;
}

static void serve_http2(SSL *ssl)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    unsigned char *payload = malloc(1 << 24), head[24];
    bool going = read_all(ssl, head, 24) && memcmp(head, preface, 24) == 0 &&
                 send_frame(ssl, SETTINGS, 0, 0, NULL, 0);
    while (going && read_all(ssl, head, 9)) {
        size_t size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        unsigned type = head[3], flags = head[4];
        unsigned stream = (unsigned)(head[5] & 127) << 24 | (unsigned)head[6] << 16 |
                          (unsigned)head[7] << 8 | head[8];
        going = !size || read_all(ssl, payload, size);
        if (going && type == SETTINGS && !(flags & ACK))
            going = send_frame(ssl, SETTINGS, ACK, 0, NULL, 0);
        if (going && type == PING && !(flags & ACK))
            going = send_frame(ssl, PING, ACK, 0, payload, size);
        if (going && type == DATA && size) { /* what was read may be sent again */
            unsigned char more[4] = {0, (unsigned char)(size >> 16), (unsigned char)(size >> 8),
                                     (unsigned char)size};
            going = send_frame(ssl, WINDOW, 0, 0, more, 4) &&
                    (flags & END_STREAM || send_frame(ssl, WINDOW, 0, stream, more, 4));
        }
        if (going && (type == DATA || type == HEADERS) && flags & END_STREAM)
            going = send_answer(ssl, stream);
    }
    free(payload);
}

/* ---- Serving -------------------------------------------------------------------------------- */

static void *serve(void *argument)
{
    int socket = (int)(long)argument;
    SSL *ssl = SSL_new(state.context);
    const unsigned char *protocol;
    unsigned length;
    SSL_set_fd(ssl, socket);
    if (SSL_accept(ssl) == 1) {
        SSL_get0_alpn_selected(ssl, &protocol, &length);
        if (length == 2)
            serve_http2(ssl);
        else
            serve_http1(ssl);
    }
    SSL_free(ssl);
    close(socket);
    return NULL;
}

bool tls_server_start(struct tls_server *server, const char *host, bool http2,
                      const char *certificate, const char *log)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 &&
             listen(listener, 64) == 0 &&
             getsockname(listener, (struct sockaddr *)&address, &size) == 0,
         "socket");
    snprintf(server->url, sizeof server->url, "https://127.0.0.1:%u", ntohs(address.sin_port));
    state.context = SSL_CTX_new(TLS_server_method());
    state.http2 = http2;
    make_certificate(host, certificate);
    SSL_CTX_set_alpn_select_cb(state.context, choose_protocol, NULL);
    server->pid = fork();
    need(server->pid >= 0, "fork");
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        state.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        for (;;) {
            pthread_t thread;
            int socket = accept(listener, NULL, NULL);
            if (socket < 0 || pthread_create(&thread, NULL, serve, (void *)(long)socket) != 0)
                _exit(1);
            pthread_detach(thread);
        }
    }
    close(listener);
    SSL_CTX_free(state.context);
    return true;
}

void tls_server_stop(struct tls_server *server)
{
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
}

#endif
