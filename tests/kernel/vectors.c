/* What vectors.h answers for many bytes at random: one number, which must be the same on each
   processor and without vectors. Each buffer is its own object, for sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include "vectors.h"

static uint64_t state = 88172645463325252ull;
static uint32_t some(uint32_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 33) % below;
}

static uint8_t letter(uint32_t oddness) {
  static const uint8_t odd[] = {0, 9, 10, 13, 31, 32, 33, '#', ':', 126, 127, 128, 255};
  return some(100) < oddness ? odd[some(sizeof odd)] : (uint8_t)('a' + some(26));
}

/* skip_value() and skip_target() from anywhere in a buffer. */
static uint64_t skipped(void) {
  uint32_t size = some(100), at = some(size + 1), oddness = some(30);
  uint8_t *buffer = malloc(size ? size : 1);
  uint64_t found;
  for (uint32_t i = 0; i < size; i++) buffer[i] = letter(oddness);
  found = (uint64_t)(skip_value(buffer + at, buffer + size) - buffer);
  found = found * 101 + (uint64_t)(skip_target(buffer + at, buffer + size) - buffer);
  free(buffer);
  return found;
}

/* Names that are kept and found again; what has no vectors keeps none, so the answer is known. */
static uint64_t named(void) {
#if VECTORS
  uint8_t *line = malloc(35), kept[32], other[35];
  uint8_t *p = line + 3;
  uint32_t size = 4 + some(28), at;
  int wrong;
  for (int i = 0; i < 35; i++) line[i] = letter(0);
  p[size] = ':';
  if (size < 31 && some(2)) p[size + 1 + some(31 - size)] = ':';
  wrong = name_size(p) != size;
  keep_name(kept, p, size);
  wrong |= !is_kept(kept, p, size) || name_hash(p, size) >= 512;
  memcpy(other, line, 35);
  at = some(size);
  other[3 + at] ^= 1;
  wrong |= is_kept(kept, other + 3, size);
  free(line);
  return (uint64_t)wrong;
#else
  return 0;
#endif
}

int main(void) {
  uint64_t sum = 0, wrong = 0;
  for (int i = 0; i < 300000; i++) sum = sum * 1000003 + skipped();
  for (int i = 0; i < 300000; i++) wrong += named();
  printf("%016llx %llu\n", (unsigned long long)sum, (unsigned long long)wrong);
  return 0;
}
