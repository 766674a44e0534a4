/* Clients that mean harm: prepared bytes on many connections, again and again.

   floods PORT CONNECTIONS FILE FROM

   Each connection sends FILE, as fast as it is taken, then its part from FROM on over and over
   (FROM = 0: no more, and it waits to be closed); what comes is thrown away. A connection that is
   closed is made again at once. Ends with stdin, and then writes one line of JSON: how many
   connections were closed by the other side, and how many bytes were sent. Linux only. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define AT_ONCE 16384 /* bytes of one write */
#define MOST 1024

static int files[MOST];
static long at[MOST], size, again, closed, bytes;
static char *data;
static int queue;
static struct sockaddr_in address = {.sin_family = AF_INET};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void dial(int index) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP, .data.u32 = index};
    struct linger reset = {1, 0}; /* no port of ours waits for its time */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0) fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connect");
    files[index] = fd;
    at[index] = 0;
    if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &event)) fail("epoll");
}

static int gone(ssize_t done) {
    return done < 0 && errno != EAGAIN && errno != EWOULDBLOCK;
}

/* 0: it was closed. */
static int serve(int index, unsigned events) {
    int fd = files[index];
    if (events & EPOLLIN) {
        ssize_t got = recv(fd, NULL, 1 << 20, MSG_TRUNC);
        if (got == 0 || gone(got)) return 0;
    }
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) return 0;
    if (events & EPOLLOUT) {
        if (at[index] == size && again) at[index] = again;
        if (at[index] == size) {
            struct epoll_event quiet = {.events = EPOLLIN | EPOLLRDHUP, .data.u32 = index};
            epoll_ctl(queue, EPOLL_CTL_MOD, fd, &quiet);
            return 1;
        }
        long left = size - at[index];
        ssize_t put = send(fd, data + at[index], left < AT_ONCE ? left : AT_ONCE, MSG_NOSIGNAL);
        if (gone(put)) return 0;
        if (put > 0) at[index] += put, bytes += put;
    }
    return 1;
}

int main(int argc, char **argv) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MOST}, events[64];
    if (argc != 5) return fprintf(stderr, "see the head of floods.c\n"), 2;
    int connections = atoi(argv[2]);
    FILE *file = fopen(argv[3], "rb");
    if (!file || connections > MOST) fail(argv[3]);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    data = malloc(size);
    if (fread(data, 1, size, file) != (size_t)size) fail("read");
    again = atol(argv[4]);
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    queue = epoll_create1(0);
    epoll_ctl(queue, EPOLL_CTL_ADD, 0, &event);
    for (int i = 0; i < connections; i++) dial(i);
    for (;;) {
        int ready = epoll_wait(queue, events, 64, -1);
        for (int i = 0; i < ready; i++) {
            unsigned index = events[i].data.u32;
            if (index == MOST) {
                printf("{\"closed\": %ld, \"bytes\": %ld}\n", closed, bytes);
                return 0;
            }
            if (serve(index, events[i].events)) continue;
            close(files[index]);
            closed++;
            dial(index);
        }
    }
}
