/* Bytes looked at sixteen or eight at a time. Each function reads p[i..n) and nothing else, but for
   word(), which reads eight bytes that its caller knows to be there. */
#ifndef SPANGATE_VECTORS
#define SPANGATE_VECTORS
#include <stdint.h>
#include <string.h>
/* One vector of 16 bytes at a time, or none: SPANGATE_SCALAR leaves them out. */
#if defined(__SSE2__) && !defined(SPANGATE_SCALAR)
#include <emmintrin.h>
typedef __m128i vec;
#define EACH(c) _mm_set1_epi8((char)(c))
#define LOAD(p) _mm_loadu_si128((const __m128i*)(p))
#define EQUAL(a, b) _mm_cmpeq_epi8(a, b)
#define AT_MOST(a, b) _mm_cmpeq_epi8(_mm_max_epu8(a, b), b)
#define OR(a, b) _mm_or_si128(a, b)
#define BUT(a, b) _mm_andnot_si128(b, a)
#define VECTORS 1
static inline int first_of(vec v) {  /* the first byte that is not 0, or 16 */
  return __builtin_ctz((unsigned)_mm_movemask_epi8(v) | 0x10000u);
}
#elif defined(__ARM_NEON) && defined(__aarch64__) && !defined(SPANGATE_SCALAR)
#include <arm_neon.h>
typedef uint8x16_t vec;
#define EACH(c) vdupq_n_u8((uint8_t)(c))
#define LOAD(p) vld1q_u8(p)
#define EQUAL(a, b) vceqq_u8(a, b)
#define AT_MOST(a, b) vcleq_u8(a, b)
#define OR(a, b) vorrq_u8(a, b)
#define BUT(a, b) vbicq_u8(a, b)
#define VECTORS 1
static inline int first_of(vec v) {
  uint64_t m = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(v), 4)), 0);
  return m ? __builtin_ctzll(m) >> 2 : 16;
}
#endif

/* RFC 9110 5.5: a tab, and everything from the space on but DEL. */
static inline int in_value(uint8_t c) { return (c >= 0x20 && c != 0x7f) || c == 9; }
/* What llhttp takes behind the slash of a target. */
static inline int in_target(uint8_t c) { return c >= 0x21 && c <= 0x7e && c != '#'; }

/* The first byte from i on that is not of the kind, or n. */
static inline uint32_t skip_value(const uint8_t* p, uint32_t i, uint32_t n) {
#ifdef VECTORS
  const vec low = EACH(0x1f), del = EACH(0x7f), tab = EACH(9);
  for (; n - i >= 16; i += 16) {
    const vec v = LOAD(p + i);
    const int at = first_of(BUT(OR(AT_MOST(v, low), EQUAL(v, del)), EQUAL(v, tab)));
    if (at < 16) return i + at;
  }
#endif
  while (i < n && in_value(p[i])) i++;
  return i;
}
static inline uint32_t skip_target(const uint8_t* p, uint32_t i, uint32_t n) {
#ifdef VECTORS
  const vec low = EACH(0x20), high = EACH(0x7f), mark = EACH('#');
  for (; n - i >= 16; i += 16) {
    const vec v = LOAD(p + i);
    const int at = first_of(OR(OR(AT_MOST(v, low), AT_MOST(high, v)), EQUAL(v, mark)));
    if (at < 16) return i + at;
  }
#endif
  while (i < n && in_target(p[i])) i++;
  return i;
}
static inline uint64_t word(const uint8_t* p) { uint64_t w; memcpy(&w, p, 8); return w; }
/* colon(): the bytes of a word before its first colon, 8 if there is none. lowest(): a word of its
   first `bytes` < 8 and zeros. Where the first byte is the highest, words are not searched. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define WORDS 1
static inline uint64_t lowest(uint64_t w, int bytes) { return w & ((1ull << 8 * bytes) - 1); }
static inline int colon(uint64_t w) {
  const uint64_t t = w ^ 0x3a3a3a3a3a3a3a3aull;
  const uint64_t z = (t - 0x0101010101010101ull) & ~t & 0x8080808080808080ull;
  return z ? __builtin_ctzll(z) >> 3 : 8;
}
#else
#define WORDS 0
static inline uint64_t lowest(uint64_t w, int bytes) { return w & ~(~0ull >> 8 * bytes); }
static inline int colon(uint64_t w) { return 8; }
#endif
#endif
