/* SPDX-License-Identifier: Apache-2.0 */
/* io_device.c - asks the kernel's routes, by connecting a datagram socket that sends nothing */
#include "io_device.h"

#include "worker/comm/launch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* tcp://host:port or tcp://[address]:port; a source address before a ; is not ours to mind. */
static int split (const char *endpoint, char host[256], char port[16], struct mu_error *error)
{
    const char *begin = strstr (endpoint, "://"), *colon = strrchr (endpoint, ':');
    if (!begin || strncmp (endpoint, "tcp", 3) != 0 || !colon || colon <= begin + 2)
        return mu_fail (error, MU_UNAVAILABLE, "%s is no tcp:// address", endpoint);
    begin += 3;
    size_t length = (size_t)(colon - begin);
    if (length >= 2 && *begin == '[' && begin[length - 1] == ']') {
        begin++;
        length -= 2;
    }
    snprintf (host, 256, "%.*s", (int)length, begin);
    snprintf (port, 16, "%s", colon + 1);
    return 0;
}

static int own_address (const struct addrinfo *to, char *text, size_t size)
{
    struct sockaddr_storage own;
    socklen_t length = sizeof own;
    int fd = socket (to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int status = -1;
    if (fd >= 0 && connect (fd, to->ai_addr, to->ai_addrlen) == 0 &&
        getsockname (fd, (struct sockaddr *)&own, &length) == 0)
        status = getnameinfo ((struct sockaddr *)&own, length, text, (socklen_t)size, NULL, 0,
                              NI_NUMERICHOST);
    if (fd >= 0)
        close (fd);
    return status;
}

int io_device_towards (const char *endpoint, char *device, size_t size, struct mu_error *error)
{
    char host[256], port[16], address[INET6_ADDRSTRLEN + 16];
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
    if (split (endpoint, host, port, error) < 0)
        return -1;
    int number = getaddrinfo (host, port, &hints, &list);
    if (number)
        return mu_fail (error, MU_NO_HOST,
                        "the coordinator's name %s does not resolve (%s); it is tried again until "
                        "it does",
                        host, gai_strerror (number));
    int status = -1;
    for (const struct addrinfo *at = list; at && status != 0; at = at->ai_next)
        status = own_address (at, address, sizeof address);
    freeaddrinfo (list);
    if (status != 0)
        return mu_fail (error, MU_UNAVAILABLE, "there is no route to %s", host);
    address[strcspn (address, "%")] = '\0'; /* an IPv6 zone */
    return mu_collective_device (address, device, size, error);
}
