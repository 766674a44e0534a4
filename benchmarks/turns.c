/* Loaded before a process (LD_PRELOAD), measures each turn of its main thread's event loop; see
   turns.py. A turn is what happens between epoll_pwait's return and its next call. If SPANGATE_SLOW
   names a directory, writes to files below it take SLOW_WRITE and fsyncs SLOW_SYNC nanoseconds. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SLOW_WRITE 20000000L
#define SLOW_SYNC 300000000L

struct page { /* turns.py reads it; times in ns, CLOCK_MONOTONIC */
    volatile uint64_t turns, begun, delay, longest, longest_wall;
};

static struct page *page;
static int schedstat = -1;
static const char *slow;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* What the thread has waited for a processor so far (second number of schedstat). */
static uint64_t delay(void) {
    char text[96];
    ssize_t size = pread(schedstat, text, sizeof text - 1, 0);
    if (size <= 0) return 0;
    text[size] = 0;
    char *space = strchr(text, ' ');
    return space ? strtoull(space, NULL, 10) : 0;
}

static void forget(void) { page = NULL; }

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("SPANGATE_TURNS");
    char path[4096];
    slow = getenv("SPANGATE_SLOW");
    if (!directory || snprintf(path, sizeof path, "%s/%d", directory, getpid()) >= (int)sizeof path)
        return;
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, 4096)) return;
    void *found = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    pthread_atfork(NULL, NULL, forget);
    if (found != MAP_FAILED && schedstat >= 0) page = found;
}

static int is_main(void) {
    static __thread int known; /* 0 not yet, 1 no, 2 yes */
    if (!known) known = 1 + (getpid() == (pid_t)syscall(SYS_gettid));
    return known == 2;
}

static void end_turn(void) {
    if (!page || !page->begun || !is_main()) return;
    uint64_t wall = now() - page->begun, waited = delay() - page->delay;
    uint64_t own = wall > waited ? wall - waited : 0;
    page->turns++;
    if (own > page->longest) page->longest = own;
    if (wall > page->longest_wall) page->longest_wall = wall;
    page->begun = 0;
}

static void begin_turn(void) {
    if (!page || !is_main()) return;
    page->delay = delay();
    page->begun = now();
}

typedef int pwait_t(int, struct epoll_event *, int, int, const sigset_t *);
int epoll_pwait(int fd, struct epoll_event *events, int size, int timeout, const sigset_t *mask) {
    static pwait_t *real;
    if (!real) real = (pwait_t *)dlsym(RTLD_NEXT, "epoll_pwait");
    end_turn();
    int found = real(fd, events, size, timeout, mask);
    begin_turn();
    return found;
}

typedef int wait_t(int, struct epoll_event *, int, int);
int epoll_wait(int fd, struct epoll_event *events, int size, int timeout) {
    static wait_t *real;
    if (!real) real = (wait_t *)dlsym(RTLD_NEXT, "epoll_wait");
    end_turn();
    int found = real(fd, events, size, timeout);
    begin_turn();
    return found;
}

static void dawdle(int fd, long nanoseconds) {
    char link[64], path[4096];
    if (!slow) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return;
    path[size] = 0;
    if (strncmp(path, slow, strlen(slow))) return;
    struct timespec time = {0, nanoseconds};
    nanosleep(&time, NULL);
}

#define SLOWER(result, name, parameters, arguments, nanoseconds)                 \
    typedef result name##_t parameters;                                          \
    result name parameters {                                                     \
        static name##_t *real;                                                   \
        if (!real) real = (name##_t *)dlsym(RTLD_NEXT, #name);                   \
        dawdle(fd, nanoseconds);                                                 \
        return real arguments;                                                   \
    }

SLOWER(int, fsync, (int fd), (fd), SLOW_SYNC)
SLOWER(int, fdatasync, (int fd), (fd), SLOW_SYNC)
SLOWER(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), SLOW_WRITE)
SLOWER(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t at),
       (fd, data, size, at), SLOW_WRITE)
SLOWER(ssize_t, pwritev64, (int fd, const struct iovec *data, int count, off64_t at),
       (fd, data, count, at), SLOW_WRITE)
SLOWER(ssize_t, pwritev, (int fd, const struct iovec *data, int count, off_t at),
       (fd, data, count, at), SLOW_WRITE)
SLOWER(ssize_t, pwritev64v2, (int fd, const struct iovec *data, int count, off64_t at, int flags),
       (fd, data, count, at, flags), SLOW_WRITE)
