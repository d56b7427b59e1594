/* simd.h for x86-64 with AVX2, FMA and F16C; VNNI shortens the dot products where the compiler may use it. */
#include <immintrin.h>

#if (defined(__AVX512VNNI__) && defined(__AVX512VL__)) || defined(__AVXVNNI__)
#define HAS_VNNI 1
#endif
#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__) && !defined(NARROW)
#define HAS_WIDE_VNNI 1 /* 512-bit registers: matmul_wide.h */
#endif

typedef __m256 Float8;
typedef __m256i Lanes32, Quad, Pairs;
typedef __m256i Partial; /* 16 int16 sums, two per output; with VNNI 8 int32 sums */

#define prefetch(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

static inline Float8 zero8(void) { return _mm256_setzero_ps(); }
static inline Float8 broadcast8(float x) { return _mm256_set1_ps(x); }
static inline Float8 load_half8(const uint8_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
static inline Float8 mul8(Float8 a, Float8 b) { return _mm256_mul_ps(a, b); }
static inline Float8 scale8(Float8 a, float x) { return _mm256_mul_ps(a, _mm256_set1_ps(x)); }
static inline Float8 fma8(Float8 a, Float8 b, Float8 c) { return _mm256_fmadd_ps(a, b, c); }
static inline Float8 load8(const float *p) { return _mm256_loadu_ps(p); }
static inline void store8(float *p, Float8 a) { _mm256_storeu_ps(p, a); }
static inline Float8 lanes_to_float8(Lanes32 a) { return _mm256_cvtepi32_ps(a); }
static inline Lanes32 add_lanes(Lanes32 a, Lanes32 b) { return _mm256_add_epi32(a, b); }

/* Sixteen unsigned 8-bit numbers, two per output, times two signed 16-bit ones. */
static inline Pairs interleave_bytes(const uint8_t *first, const uint8_t *second) {
    __m128i a = _mm_loadl_epi64((const __m128i *)first), b = _mm_loadl_epi64((const __m128i *)second);
    return _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
}
static inline Lanes32 dot_pairs(Pairs pairs, const int16_t *two) {
    int32_t both;
    memcpy(&both, two, 4);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi32(both));
}

static inline __m256i four_bytes(const int8_t *q) {
    int32_t four;
    memcpy(&four, q, 4);
    return _mm256_set1_epi32(four);
}

static inline __m256i load32(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }

static inline void unpack_nibbles(const uint8_t *p, Quad *quad) {
    const __m256i low = _mm256_set1_epi8(15);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m256i both = load32(p + 32 * i);
        quad[i] = _mm256_and_si256(both, low);
        quad[i + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
    }
}

static inline void add_high_bit(const uint8_t *p, Quad *quad) {
    __m256i bits = load32(p);
    const __m256i sixteen = _mm256_set1_epi8(16);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i moved = i < 4 ? _mm256_slli_epi16(bits, 4 - i) : _mm256_srli_epi16(bits, i - 4);
        quad[i] = _mm256_or_si256(quad[i], _mm256_and_si256(moved, sixteen));
    }
}

static inline void add_high_two_bits(const uint8_t *p, Quad *quad) {
    const __m256i mask = _mm256_set1_epi8(48);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i bits = load32(p + 32 * (i / 4));
        int k = 2 * (i % 4);
        __m256i moved = k < 4 ? _mm256_slli_epi16(bits, 4 - k) : _mm256_srli_epi16(bits, k - 4);
        quad[i] = _mm256_or_si256(quad[i], _mm256_and_si256(moved, mask));
    }
}

static inline void load_bytes(const uint8_t *p, Quad *quad) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) quad[i] = load32(p + 32 * i);
}

static inline Partial zero_start(void) { return _mm256_setzero_si256(); }

#ifdef HAS_VNNI
#ifdef __AVXVNNI__
#define dpbusd _mm256_dpbusd_avx_epi32
#else
#define dpbusd _mm256_dpbusd_epi32
#endif
static inline Lanes32 pair_scales(const uint8_t *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
static inline Lanes32 pair_scales_signed(const uint8_t *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
static inline __attribute__((always_inline)) Partial dot_quads(const Quad *quad, const int8_t *q, int n, Partial sum) {
#pragma GCC unroll 8
    for (int i = 0; i < n; i++) sum = dpbusd(sum, quad[i], four_bytes(q + 4 * i));
    return sum;
}
static inline Lanes32 widen(Partial a) { return a; }
static inline Lanes32 widen_scaled(Partial a, Lanes32 scales) { return _mm256_mullo_epi32(a, scales); }
static inline Lanes32 multiplied(Lanes32 scales, int32_t times) {
    return _mm256_mullo_epi32(scales, _mm256_set1_epi32(times & 0xffff));
}
#else
static inline Lanes32 twice(__m256i a) { return _mm256_blend_epi16(a, _mm256_slli_epi32(a, 16), 0xaa); }
static inline Lanes32 pair_scales(const uint8_t *p) {
    return twice(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline Lanes32 pair_scales_signed(const uint8_t *p) {
    return twice(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline __attribute__((always_inline)) Partial dot_quads(const Quad *quad, const int8_t *q, int n, Partial sum) {
    __m256i other = zero_start();
    /* Two chains, because the additions' latency is what limits a row; the empty statements keep the compiler from
     * making one chain of them. */
#pragma GCC unroll 8
    for (int i = 0; i < n; i += 2) {
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(quad[i], four_bytes(q + 4 * i)));
        __asm__("" : "+x"(sum));
        other = _mm256_add_epi16(other, _mm256_maddubs_epi16(quad[i + 1], four_bytes(q + 4 * i + 4)));
        __asm__("" : "+x"(other));
    }
    return _mm256_add_epi16(sum, other);
}
static inline Lanes32 widen(Partial a) { return _mm256_madd_epi16(a, _mm256_set1_epi16(1)); }
static inline Lanes32 widen_scaled(Partial a, Lanes32 scales) { return _mm256_madd_epi16(a, scales); }
static inline Lanes32 multiplied(Lanes32 scales, int32_t times) {
    return _mm256_mullo_epi16(scales, _mm256_set1_epi32(times));
}
#endif

static inline Partial start_at(const int32_t *centre) { return _mm256_set1_epi32(*centre); }

/* Signed weights: the multiplier wants one unsigned factor, so the weight's sign moves to the activation. */
static inline __attribute__((always_inline)) Lanes32 dot_signed(const Quad *quad, const int8_t *q) {
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m256i size = _mm256_abs_epi8(quad[i]), turned = _mm256_sign_epi8(four_bytes(q + 4 * i), quad[i]);
#ifdef HAS_VNNI
        sum = dpbusd(sum, size, turned);
#else
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(size, turned), _mm256_set1_epi16(1)));
#endif
    }
    return sum;
}

static inline float largest_of_block(const float *x) {
    const __m256 size_mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 most = _mm256_setzero_ps();
    for (int i = 0; i < 4; i++) most = _mm256_max_ps(most, _mm256_and_ps(_mm256_loadu_ps(x + 8 * i), size_mask));
    __m128 most4 = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    most4 = _mm_max_ps(most4, _mm_movehl_ps(most4, most4));
    return _mm_cvtss_f32(_mm_max_ss(most4, _mm_shuffle_ps(most4, most4, 1)));
}

/* 32 activations to int8: returns the sum of the integers, and in centre, for either half, what -32 times their sum is
 * to a Partial. */
static inline int round_block(const float *x, float inverse_scale, int8_t *q, int32_t *centre) {
    __m256 inverse = _mm256_set1_ps(inverse_scale);
    __m256i whole[4];
    for (int i = 0; i < 4; i++) whole[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(whole[0], whole[1]), _mm256_packs_epi32(whole[2], whole[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)); /* packing mixed the halves */
    _mm256_storeu_si256((__m256i *)q, bytes);

    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    __m256i halves = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    halves = _mm256_add_epi16(halves, _mm256_shuffle_epi32(halves, 0xb1)); /* first int32 of a half: its pair of sums */
    __m256i sums = _mm256_madd_epi16(halves, _mm256_set1_epi16(1));
#ifdef HAS_VNNI
    __m256i starts = _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sums, 5));
#else
    __m256i starts = _mm256_sub_epi16(_mm256_setzero_si256(), _mm256_slli_epi16(halves, 5));
#endif
    centre[0] = _mm256_extract_epi32(starts, 0);
    centre[1] = _mm256_extract_epi32(starts, 4);
    return _mm256_extract_epi32(sums, 0) + _mm256_extract_epi32(sums, 4);
}
