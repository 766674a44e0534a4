/* An open-loop load: requests leave by a schedule, whatever the answers do.

   openloop PORT CONNECTIONS RATE SECONDS WARM FILE SIZE

   Request number i is due at i / RATE. It leaves on a connection that is free, or waits for one;
   its latency counts from when it was due, so that a slow server is not asked less and then found
   quick (the "coordinated omission" of closed loops). FILE holds requests of SIZE bytes each, taken
   in turn. Answers must be 200 with a Content-Length. What was due in the first WARM seconds is not
   reported. When all connections are made, "ready" is written and a line read from stdin, so that
   what they cost can be told apart; at the end one line of JSON, counts and percentiles in
   microseconds, and the connections stay until stdin ends. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MOST_ANSWER 65536
#define MOST_CONNECTIONS 16384

typedef struct {
    int fd, has;
    double due; /* of the request under way */
    char data[MOST_ANSWER];
} Link;

static Link *links[MOST_CONNECTIONS];
static int idle[MOST_CONNECTIONS], first_idle, idle_count; /* a queue: all have their turn */
static double *took; /* seconds */
static long taken, sent, answered, failed, waited;
static double begin, rate, warm;
static char *requests;
static long size, count;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int dial(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void rest(int index) {
    idle[(first_idle + idle_count++) % MOST_CONNECTIONS] = index;
}

static void ask(void) {
    Link *link = links[idle[first_idle]];
    const char *request = requests + (sent % count) * size;
    link->due = begin + sent / rate;
    link->has = 0;
    first_idle = (first_idle + 1) % MOST_CONNECTIONS;
    idle_count--;
    sent++;
    if (send(link->fd, request, size, MSG_NOSIGNAL) != size) fail("send");
}

/* The size of the answer that data begins with, 0 if it is not complete. */
static int whole(Link *link) {
    link->data[link->has] = 0;
    char *end = strstr(link->data, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(link->data, "\r\ncontent-length:");
    if (!length || length > end) {
        fprintf(stderr, "an answer without its length: %.200s\n", link->data);
        exit(1);
    }
    int all = end + 4 - link->data + atoi(length + 17);
    return link->has >= all ? all : 0;
}

static void take(int index) {
    Link *link = links[index];
    ssize_t got = recv(link->fd, link->data + link->has, MOST_ANSWER - 1 - link->has, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) fail("a connection was closed");
    link->has += got;
    if (!whole(link)) return;
    answered++;
    failed += strncmp(link->data + 9, "200", 3) != 0;
    if (link->due - begin >= warm) took[taken++] = now() - link->due;
    rest(index);
}

static int later(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    return taken ? took[(long)((taken - 1) * share)] * 1e6 : 0;
}

int main(int argc, char **argv) {
    if (argc != 8) return fprintf(stderr, "see the head of openloop.c\n"), 2;
    int port = atoi(argv[1]), connections = atoi(argv[2]);
    double seconds = atof(argv[4]);
    rate = atof(argv[3]);
    warm = atof(argv[5]);
    size = atol(argv[7]);
    FILE *file = fopen(argv[6], "rb");
    if (!file || connections > MOST_CONNECTIONS) fail(argv[6]);
    fseek(file, 0, SEEK_END);
    count = ftell(file) / size;
    rewind(file);
    requests = malloc(count * size);
    if (fread(requests, size, count, file) != (size_t)count) fail("read");
    long all = rate * seconds;
    took = malloc((all + 1) * sizeof *took);

    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MOST_CONNECTIONS}, events[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, timer, &event);
    for (int i = 0; i < connections; i++) {
        links[i] = malloc(sizeof **links);
        links[i]->fd = dial(port);
        event.data.u32 = i;
        epoll_ctl(poll, EPOLL_CTL_ADD, links[i]->fd, &event);
        rest(i);
    }
    puts("ready");
    fflush(stdout);
    while (getchar() != '\n' && !feof(stdin));
    begin = now() + 0.01;
    while (answered < all) {
        double at = now();
        if (at > begin + seconds + 10) break; /* what is missing now will not come */
        while (sent < all && idle_count && begin + sent / rate <= at) ask();
        if (sent < all && !idle_count && begin + sent / rate <= at) waited++;
        double next = begin + sent / rate;
        if (sent < all && idle_count) {
            struct itimerspec until = {0};
            until.it_value.tv_sec = (time_t)next;
            until.it_value.tv_nsec = (next - (time_t)next) * 1e9;
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &until, NULL);
        }
        int ready = epoll_wait(poll, events, 64, 1000);
        for (int i = 0; i < ready; i++)
            if (events[i].data.u32 != MOST_CONNECTIONS) take(events[i].data.u32);
            else { /* its time has come; reading it makes it quiet */
                unsigned long long expired;
                if (read(timer, &expired, sizeof expired) < 0 && errno != EAGAIN) fail("timer");
            }
    }
    qsort(took, taken, sizeof *took, later);
    printf("{\"sent\": %ld, \"answered\": %ld, \"failed\": %ld, \"waited\": %ld, \"p50\": %.1f, "
           "\"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}\n",
           sent, answered, failed, waited, percentile(.5), percentile(.9), percentile(.99),
           percentile(.999), percentile(1));
    fflush(stdout);
    while (getchar() != EOF);
    return answered < all;
}
