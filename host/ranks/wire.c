/* Messages between the watches over TCP sockets that never block. */
#include "wire.h"

#include "nclip/support/error.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MILLISECONDS = 3000 };

static void add_address(struct nc_watch_place *place, const struct sockaddr *address)
{
    uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};
    uint32_t scope = 0;
    if (address->sa_family == AF_INET) {
        memcpy(bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    } else {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
            return; /* means something on this host alone */
        memcpy(bytes, &six->sin6_addr, 16);
        scope = six->sin6_scope_id;
    }
    memcpy(place->address[place->addresses].bytes, bytes, 16);
    place->address[place->addresses++].scope = scope;
}

/* Loopback first: ranks of the same host need no network. */
static void list_addresses(struct nc_watch_place *place)
{
    const struct sockaddr_in loopback = {.sin_family = AF_INET,
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    add_address(place, (const struct sockaddr *)&loopback);
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) != 0)
        return;
    for (struct ifaddrs *i = list; i && place->addresses < NC_WATCH_ADDRESSES; i = i->ifa_next) {
        if (!i->ifa_addr || strcmp(i->ifa_name, "lo") == 0)
            continue;
        if (i->ifa_addr->sa_family == AF_INET || i->ifa_addr->sa_family == AF_INET6)
            add_address(place, i->ifa_addr);
    }
    freeifaddrs(list);
}

int wire_listen(struct nc_watch_place *place, int *fd)
{
    int no = 0;
    /* Hosts without IPv6 have IPv4 alone. */
    *fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    struct sockaddr_in four = {.sin_family = AF_INET};
    bool bound = *fd >= 0 && setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0 &&
                 bind(*fd, (const struct sockaddr *)&six, sizeof six) == 0;
    if (!bound) {
        if (*fd >= 0)
            close(*fd);
        *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        bound = *fd >= 0 && bind(*fd, (const struct sockaddr *)&four, sizeof four) == 0;
    }
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } name;
    socklen_t length = sizeof name;
    if (!bound || listen(*fd, 4096) != 0 || getsockname(*fd, &name.any, &length) != 0) {
        int cause = errno;
        if (*fd >= 0)
            close(*fd);
        return nc_error(NC_FAILED, "ranks: cannot listen for the other ranks: %s", strerror(cause));
    }
    place->port = ntohs(name.any.sa_family == AF_INET ? name.four.sin_port : name.six.sin6_port);
    list_addresses(place);
    return NC_OK;
}

static bool wait_for(int fd, short events)
{
    struct pollfd one = {.fd = fd, .events = events};
    return poll(&one, 1, CONNECT_MILLISECONDS) == 1;
}

static int connect_to(const struct nc_watch_place *place, size_t i)
{
    const uint8_t *bytes = place->address[i].bytes;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool is_four = memcmp(bytes, mapped, sizeof mapped) == 0;
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(place->port)};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(place->port)};
    memcpy(&four.sin_addr, bytes + 12, 4);
    memcpy(&six.sin6_addr, bytes, 16);
    const struct sockaddr *address = is_four ? (struct sockaddr *)&four : (struct sockaddr *)&six;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    int cause = 0;
    socklen_t length = sizeof cause;
    if (connect(fd, address, is_four ? sizeof four : sizeof six) == 0 ||
        (errno == EINPROGRESS && wait_for(fd, POLLOUT) &&
         getsockopt(fd, SOL_SOCKET, SO_ERROR, &cause, &length) == 0 && cause == 0))
        return fd;
    close(fd);
    return -1;
}

static void be_prompt(int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

int wire_connect(struct wire *wire, const struct nc_watch_place *place,
                 const struct wire_message *hello)
{
    char tried[512] = "";
    for (size_t i = 0; i < place->addresses; i++) {
        char text[INET6_ADDRSTRLEN];
        inet_ntop(AF_INET6, place->address[i].bytes, text, sizeof text);
        size_t used = strlen(tried);
        snprintf(tried + used, sizeof tried - used, "%s%s", i ? ", " : "",
                 strncmp(text, "::ffff:", 7) == 0 ? text + 7 : text);
        *wire = (struct wire){.fd = connect_to(place, i)};
        if (wire->fd < 0)
            continue;
        be_prompt(wire->fd);
        struct wire_message answer;
        if (wire_send(wire, hello) && wait_for(wire->fd, POLLIN) &&
            wire_receive(wire, &answer) == WIRE_MESSAGE && answer.head.kind == WIRE_HELLO &&
            answer.head.number == place->token)
            return NC_OK;
        wire_close(wire);
    }
    return nc_error(NC_FAILED,
                    "ranks: rank 0 on %s cannot be reached at port %u of %s; is there a firewall?",
                    place->host, place->port, tried);
}

bool wire_send(struct wire *wire, const struct wire_message *message)
{
    size_t size = sizeof message->head + message->head.length;
    if (wire->fd < 0)
        return false;
    ssize_t sent = send(wire->fd, message, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == (ssize_t)size)
        return true;
    /* Thousands of unread beats: nobody listens there. A torn message would garble the next. */
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    wire_close(wire);
    return false;
}

enum wire_result wire_receive(struct wire *wire, struct wire_message *message)
{
    if (wire->fd < 0)
        return WIRE_GONE;
    for (;;) {
        struct wire_head head;
        memcpy(&head, wire->buffer, sizeof head);
        bool known = wire->have >= sizeof head;
        if (known && (head.kind < WIRE_HELLO || head.kind > WIRE_BYE || head.length > WIRE_TEXT))
            break; /* a stranger */
        size_t want = sizeof head + (known ? head.length : 0);
        if (known && wire->have == want) {
            memcpy(message, wire->buffer, want);
            message->text[head.length] = 0;
            wire->have = 0;
            return WIRE_MESSAGE;
        }
        ssize_t got = recv(wire->fd, wire->buffer + wire->have, want - wire->have, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return WIRE_NOTHING;
        if (got <= 0)
            break;
        wire->have += (size_t)got;
    }
    wire_close(wire);
    return WIRE_GONE;
}

void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        close(wire->fd);
    wire->fd = -1;
    wire->have = 0;
}
