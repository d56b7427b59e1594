/* Packed weights times int8 activations.
 *
 * A group holds eight outputs. Its weights for 32 inputs are eight "quads" of four inputs: byte 4*c + j of quad k is
 * output c, input 4*k + j, so that one multiply-add of a quad with four activations, repeated across the register,
 * leaves two partial sums per output. Unpacking a block is paid once for all rows.
 *
 * The 6-bit layout stores q + 32. Instead of subtracting, the int16 accumulator starts at -32 times the sum of the
 * activations (QSpan.centre, one pair per 16 inputs): the final sum of eight products of (-32..31) by (-127..127)
 * fits int16, so wrapping on the way is harmless. */
#include <string.h>

#include "matmul.h"
#include "simd.h"

/* The K layouts put the scales of eight blocks before them, so that quads start at multiples of 32 bytes. */
#define IS_K(kind) ((kind) == P4K || (kind) == P5K || (kind) == P6K)
#define HEADER_BYTES 160
#define PREFETCH_BYTES 2048
static const int bytes_per_block[] = {160, 128, 160, 192, 272};

static size_t group_bytes(int kind, int inputs) {
    size_t blocks = (size_t)inputs / BLOCK;
    return blocks * bytes_per_block[kind] + (IS_K(kind) ? blocks / 8 * HEADER_BYTES : 0);
}

/* The blocks of a span share a unit: a block whose values are smaller gets a smaller multiple of it as its scale, so
 * that a large value does not cost its neighbours their precision, and products can be summed as integers. */
void quantise_row(const float *x, const Rows *rows, int row) {
    int blocks = rows->inputs / BLOCK, height = tile_height(rows, row);
    QSpan *to = row_start(rows, row);
    for (int first = 0; first < blocks; first += BLOCKS, to += height) {
        int count = blocks - first < BLOCKS ? blocks - first : BLOCKS;
        float largest[BLOCKS], most = 0;
        for (int b = 0; b < count; b++) {
            largest[b] = largest_of_block(x + b * BLOCK);
            most = largest[b] > most ? largest[b] : most;
        }
        float share = most > 0 ? STEPS / most : 0, inverse_unit = most > 0 ? STEPS * 127 / most : 0;
        to->unit = most / (STEPS * 127);
        for (int b = 0; b < count; b++, x += BLOCK) {
            float wanted = largest[b] * share;
            int times = (int)wanted;
            times += (float)times < wanted; /* rounded up */
            times = times < 1 ? 1 : times > STEPS ? STEPS : times;
            int total = round_block(x, inverse_unit / (float)times, to->q + b * BLOCK, to->centre[b]);
            to->times[b] = times | times << 16;
            to->sum[b] = (int16_t)(times * total);
            to->scale[b] = to->unit * (float)times;
        }
    }
}

/* One 32-input block of a group, unpacked. */
typedef struct {
    Quad quad[8];
    Lanes32 scale_a, scale_b; /* integer scales of the two halves, in the K layouts */
    Float8 scale, minimum;    /* in the others */
} Unpacked;

static inline __attribute__((always_inline)) void unpack_k(int kind, const uint8_t *scales, const uint8_t *block,
                                                           Unpacked *u) {
    unpack_nibbles(block, u->quad);
    if (kind == P6K) {
        u->scale_a = pair_scales_signed(scales);
        u->scale_b = pair_scales_signed(scales + 8);
        add_high_two_bits(block + 128, u->quad);
    } else {
        u->scale_a = pair_scales(scales);
        if (kind == P5K) add_high_bit(block + 128, u->quad);
    }
}

/* A block's share of the dot product in units of both scales. Over a span it is at most 8 * 8 * 128 * 32 * 32 * 127. */
static inline __attribute__((always_inline)) Lanes32 dot_k(int kind, const Unpacked *u, const QSpan *x, int b) {
    const int8_t *q = x->q + b * BLOCK;
    Lanes32 scale_a = multiplied(u->scale_a, x->times[b]);
    if (kind == P4K) return widen_scaled(dot_quads(u->quad, q, 8, zero_start()), scale_a);
    if (kind == P5K)
        return add_lanes(widen_scaled(dot_quads(u->quad, q, 4, zero_start()), scale_a),
                         widen_scaled(dot_quads(u->quad + 4, q + 16, 4, zero_start()), scale_a));
    return add_lanes(widen_scaled(dot_quads(u->quad, q, 4, start_at(x->centre[b])), scale_a),
                     widen_scaled(dot_quads(u->quad + 4, q + 16, 4, start_at(x->centre[b] + 1)),
                                  multiplied(u->scale_b, x->times[b])));
}

/* Eight outputs of n rows. Whatever n is, a row's sums are the same integers and its floats are added in the same
 * order, so that it does not matter what it is computed with. */
static inline __attribute__((always_inline)) void tile_k(int kind, const uint8_t *at, int spans, const QSpan *x, int n,
                                                         float *out, int out_stride) {
    Float8 total[TILE];
    Lanes32 sum[TILE];
    for (int r = 0; r < n; r++) total[r] = zero8();
    for (int s = 0; s < spans; s++, x += n) {
        const uint8_t *header = at, *scales = at + 32;
        for (int r = 0; r < n; r++) sum[r] = widen(zero_start());
        at += HEADER_BYTES;
        for (int b = 0; b < BLOCKS; b++, at += bytes_per_block[kind]) {
            Unpacked u;
            unpack_k(kind, scales + 16 * b, at, &u);
            for (int ahead = 0; ahead < bytes_per_block[kind]; ahead += 64) prefetch(at + PREFETCH_BYTES + ahead);
#pragma GCC unroll 4
            for (int r = 0; r < n; r++) sum[r] = add_lanes(sum[r], dot_k(kind, &u, x + r, b));
        }
        Float8 scale = load_half8(header), minimum = load_half8(header + 16);
        Pairs pairs[4];
        if (kind != P6K)
            for (int i = 0; i < 4; i++) pairs[i] = interleave_bytes(scales + 32 * i + 8, scales + 32 * i + 24);
        for (int r = 0; r < n; r++) {
            Float8 change = mul8(scale, lanes_to_float8(sum[r]));
            if (kind != P6K) {
                Lanes32 low = add_lanes(add_lanes(dot_pairs(pairs[0], x[r].sum), dot_pairs(pairs[1], x[r].sum + 2)),
                                        add_lanes(dot_pairs(pairs[2], x[r].sum + 4), dot_pairs(pairs[3], x[r].sum + 6)));
                change = fma8(minimum, lanes_to_float8(low), change);
            }
            total[r] = fma8(change, broadcast8(x[r].unit), total[r]);
        }
    }
    for (int r = 0; r < n; r++) store8(out + (size_t)r * out_stride, total[r]);
}

/* The same for the layouts in which each block has scales of its own. */
static inline __attribute__((always_inline)) void tile(int kind, const uint8_t *at, int blocks, const QSpan *x, int n,
                                                       float *out, int out_stride) {
    Float8 total[TILE];
    for (int r = 0; r < n; r++) total[r] = zero8();
    for (int first = 0; first < blocks; first += BLOCKS, x += n) {
        for (int b = 0; b < BLOCKS && first + b < blocks; b++, at += bytes_per_block[kind]) {
            Unpacked u;
            u.scale = load_half8(at);
            if (kind == P4) {
                u.minimum = load_half8(at + 16);
                unpack_nibbles(at + 32, u.quad);
            } else load_bytes(at + 16, u.quad);
            for (int ahead = 0; ahead < bytes_per_block[kind]; ahead += 64) prefetch(at + PREFETCH_BYTES + ahead);
#pragma GCC unroll 4
            for (int r = 0; r < n; r++) {
                const int8_t *q = x[r].q + b * BLOCK;
                Lanes32 dot = kind == P4 ? widen(dot_quads(u.quad, q, 8, zero_start())) : dot_signed(u.quad, q);
                total[r] = fma8(lanes_to_float8(dot), scale8(u.scale, x[r].scale[b]), total[r]);
                if (kind == P4) total[r] = fma8(u.minimum, broadcast8(x[r].unit * (float)x[r].sum[b]), total[r]);
            }
        }
    }
    for (int r = 0; r < n; r++) store8(out + (size_t)r * out_stride, total[r]);
}

static inline __attribute__((always_inline)) void some(int kind, const uint8_t *at, int inputs, const QSpan *x, int n,
                                                       float *out, int out_stride) {
    if (IS_K(kind)) tile_k(kind, at, inputs / SPAN, x, n, out, out_stride);
    else tile(kind, at, inputs / BLOCK, x, n, out, out_stride);
}

#ifdef HAS_WIDE_VNNI
#include "matmul_wide.h"
#endif

static inline __attribute__((always_inline)) void groups(int kind, const Matrix *w, const Rows *x, float *out,
                                                         int stride, int first, int end) {
    size_t bytes = group_bytes(kind, w->inputs);
    for (int row = 0; row < x->count; row += TILE) {
        int height = tile_height(x, row);
        const QSpan *start = row_start(x, row);
        int g = first;
#ifdef HAS_WIDE_VNNI
        for (; IS_K(kind) && g + 1 < end; g += 2) {
            const uint8_t *at = w->data + (size_t)g * bytes;
            float *to = out + (size_t)row * stride + g * COLUMNS;
            if (height == 1) tile_pair(kind, at, bytes, w->inputs / SPAN, start, 1, to, stride);
            else if (height == TILE) tile_pair(kind, at, bytes, w->inputs / SPAN, start, TILE, to, stride);
            else tile_pair(kind, at, bytes, w->inputs / SPAN, start, height, to, stride);
        }
#endif
        for (; g < end; g++) {
            const uint8_t *at = w->data + (size_t)g * bytes;
            float *to = out + (size_t)row * stride + g * COLUMNS;
            if (height == 1) some(kind, at, w->inputs, start, 1, to, stride);
            else if (height == TILE) some(kind, at, w->inputs, start, TILE, to, stride);
            else some(kind, at, w->inputs, start, height, to, stride);
        }
    }
}

void matmul_groups(const Matrix *w, const Rows *x, float *out, int stride, int first, int end) {
    switch (w->kind) {
    case P4: groups(P4, w, x, out, stride, first, end); break;
    case P4K: groups(P4K, w, x, out, stride, first, end); break;
    case P5K: groups(P5K, w, x, out, stride, first, end); break;
    case P6K: groups(P6K, w, x, out, stride, first, end); break;
    default: groups(P8, w, x, out, stride, first, end); break;
    }
}

/* All inputs of one output in fp32: the embedding of a token, where the table is packed like any matrix. */
void dequantise_output(const Matrix *w, int output, float *out) {
    const uint8_t *at = w->data + (size_t)(output / COLUMNS) * group_bytes(w->kind, w->inputs), *header = at;
    int column = output % COLUMNS;
    for (int b = 0; b < w->inputs / BLOCK; b++, out += BLOCK) {
        if (IS_K(w->kind) && b % 8 == 0) { header = at; at += HEADER_BYTES; }
        const uint8_t *scales = header + 32 + 16 * (b % 8), *low = at + (w->kind == P4 ? 32 : w->kind == P8 ? 16 : 0);
        for (int i = 0; i < BLOCK; i++) {
            int quad = i / 4, byte = 4 * column + i % 4;
            int nibble = low[32 * (quad % 4) + byte] >> (quad < 4 ? 0 : 4) & 15;
            if (w->kind == P4) out[i] = half_at(at, column) * nibble + half_at(at + 16, column);
            else if (w->kind == P8) out[i] = half_at(at, column) * ((const int8_t *)low)[32 * quad + byte];
            else if (w->kind == P6K) {
                int high = at[128 + 32 * (quad / 4) + byte] >> 2 * (quad % 4) & 3;
                int scale = ((const int8_t *)scales)[8 * (i / 16) + column];
                out[i] = half_at(header, column) * scale * ((nibble | high << 4) - 32);
            } else {
                if (w->kind == P5K) nibble |= (at[128 + byte] >> quad & 1) << 4;
                float minimum = half_at(header + 16, column) * scales[8 + column];
                out[i] = half_at(header, column) * scales[column] * nibble + minimum;
            }
        }
        at += bytes_per_block[w->kind];
    }
}
