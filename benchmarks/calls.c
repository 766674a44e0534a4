/* Lets a program that runs under valgrind count its own instructions; see calls.py. Loaded with
   ctypes, so that it needs no headers of Python. Each call costs nothing outside valgrind. */
#include <valgrind/callgrind.h>

void begin(void) {
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

void end(const char *label) {
    CALLGRIND_DUMP_STATS_AT(label);
    CALLGRIND_STOP_INSTRUMENTATION;
}
