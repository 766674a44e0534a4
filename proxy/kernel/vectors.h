/* Bytes looked at sixteen at a time: SSE2, NEON, or (SPANGATE_SCALAR) neither.

   skip_value() and skip_target() read up to `end` and nothing else; name_size(), name_hash(), keep_name()
   and is_kept() read p[0..32) and the three bytes before p, which their caller knows to be there. */
#ifndef SPANGATE_VECTORS
#define SPANGATE_VECTORS
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(SPANGATE_SCALAR)
#include <emmintrin.h>
typedef __m128i vec;
#define EACH(c) _mm_set1_epi8((char)(c))
#define LOAD(p) _mm_loadu_si128((const __m128i*)(p))
#define STORE(p, v) _mm_storeu_si128((__m128i*)(p), v)
#define EQUAL(a, b) _mm_cmpeq_epi8(a, b)
#define AT_MOST(a, b) _mm_cmpeq_epi8(_mm_max_epu8(a, b), b)
#define OR(a, b) _mm_or_si128(a, b)
#define AND(a, b) _mm_and_si128(a, b)
#define BUT(a, b) _mm_andnot_si128(b, a)
#define VECTORS 1
typedef unsigned bits;
static inline bits which(vec v) { return (bits)_mm_movemask_epi8(v); }
static inline int lowest_bit(bits b) { return __builtin_ctz(b); }
static inline int is_all(vec v) { return _mm_movemask_epi8(v) == 0xffff; }
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(SPANGATE_SCALAR)
#include <arm_neon.h>
typedef uint8x16_t vec;
#define EACH(c) vdupq_n_u8((uint8_t)(c))
#define LOAD(p) vld1q_u8(p)
#define STORE(p, v) vst1q_u8(p, v)
#define EQUAL(a, b) vceqq_u8(a, b)
#define AT_MOST(a, b) vcleq_u8(a, b)
#define OR(a, b) vorrq_u8(a, b)
#define AND(a, b) vandq_u8(a, b)
#define BUT(a, b) vbicq_u8(a, b)
#define VECTORS 1
typedef uint64_t bits;
static inline bits which(vec v) {
  return vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(v), 4)), 0);
}
static inline int lowest_bit(bits b) { return __builtin_ctzll(b) >> 2; }
static inline int is_all(vec v) { return vminvq_u8(v) == 0xff; }
#else
#define VECTORS 0
#endif

/* RFC 9110 5.5: a tab, and everything from the space on but DEL. */
static inline int in_value(uint8_t c) { return (c >= 0x20 && c != 0x7f) || c == 9; }

/* What llhttp takes behind the slash of a target. */
static inline int in_target(uint8_t c) { return c >= 0x21 && c <= 0x7e && c != '#'; }

/* The first byte from p on that is not of the kind, or end. Tabs end no value, but they are rare:
   the loop stops at them and goes on. */
static inline const uint8_t* skip_value(const uint8_t* p, const uint8_t* end) {
#if VECTORS
  const vec low = EACH(0x1f), del = EACH(0x7f);
  const uint8_t* last = end - p >= 16 ? end - 16 : 0; /* where a vector may begin */
  while (p <= last) {
    const vec v = LOAD(p);
    const bits b = which(OR(AT_MOST(v, low), EQUAL(v, del)));
    if (!b) {
      p += 16;
      continue;
    }
    p += lowest_bit(b);
    if (*p != 9) return p;
    p++;
  }
#endif
  while (p < end && in_value(*p)) p++;
  return p;
}

static inline const uint8_t* skip_target(const uint8_t* p, const uint8_t* end) {
#if VECTORS
  const vec low = EACH(0x20), high = EACH(0x7f), mark = EACH('#');
  for (; end - p >= 16; p += 16) {
    const vec v = LOAD(p);
    const bits b = which(OR(OR(AT_MOST(v, low), AT_MOST(high, v)), EQUAL(v, mark)));
    if (b) return p + lowest_bit(b);
  }
#endif
  while (p < end && in_target(*p)) p++;
  return p;
}

/* Names of less than 32 bytes, kept with zeros behind them. */
#if VECTORS
static const uint8_t ONES[64] = {
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
    255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};

/* How many bytes come before the first colon; 32: there is none in so many. */
static inline uint32_t name_size(const uint8_t* p) {
  const vec colon = EACH(':');
  bits b = which(EQUAL(LOAD(p), colon));
  if (b) return lowest_bit(b);
  b = which(EQUAL(LOAD(p + 16), colon));
  return b ? 16 + lowest_bit(b) : 32;
}
static inline uint32_t name_hash(const uint8_t* p, uint32_t size) {
  uint32_t first, last;
  memcpy(&first, p, 4);
  memcpy(&last, p + size - 4, 4);
  return (first * 0x9e3779b1u ^ (last + size) * 0x85ebca77u) >> 23; /* nine bits */
}
static inline void keep_name(uint8_t* kept, const uint8_t* p, uint32_t size) {
  STORE(kept, AND(LOAD(p), LOAD(ONES + 32 - size)));
  STORE(kept + 16, AND(LOAD(p + 16), LOAD(ONES + 48 - size)));
}
/* Whether it is one of the same size. */
static inline int is_kept(const uint8_t* kept, const uint8_t* p, uint32_t size) {
  if (!is_all(EQUAL(AND(LOAD(p), LOAD(ONES + 32 - size)), LOAD(kept)))) return 0;
  return size <= 16 || is_all(EQUAL(AND(LOAD(p + 16), LOAD(ONES + 48 - size)), LOAD(kept + 16)));
}
#else
static inline uint32_t name_size(const uint8_t* p) { (void)p; return 32; }
static inline uint32_t name_hash(const uint8_t* p, uint32_t size) { (void)p; return size; }
static inline void keep_name(uint8_t* kept, const uint8_t* p, uint32_t size) {}
static inline int is_kept(const uint8_t* kept, const uint8_t* p, uint32_t size) { return 0; }
#endif

static inline uint64_t word(const uint8_t* p) { uint64_t w; memcpy(&w, p, 8); return w; }
/* A word of its first `count` < 8 bytes and zeros. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
static inline uint64_t lowest(uint64_t w, int count) { return w & ~(~0ull >> 8 * count); }
#else
static inline uint64_t lowest(uint64_t w, int count) { return w & ((1ull << 8 * count) - 1); }
#endif
#endif
