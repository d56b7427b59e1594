/* Packed weights times int8 activations.
 *
 * A group holds eight outputs. Its weights for 32 inputs are eight "quads" of four inputs: byte 4*c + j of quad k is
 * output c, input 4*k + j, so that one multiply-add of a quad with four activations, repeated across the register,
 * leaves two partial sums per output. Unpacking a block is paid once for all rows.
 *
 * The 6-bit layout stores q + 32. Instead of subtracting, the int16 accumulator starts at -32 times the sum of the
 * activations (QBlock.centre, one pair per 16 inputs): the final sum of eight products of (-32..31) by (-127..127)
 * fits int16, so wrapping on the way is harmless. */
#include <string.h>

#include "engine.h"
#include "lanes.h"

/* The K layouts put the scales of eight blocks before them, so that quads start at multiples of 32 bytes. */
#define IS_K(kind) ((kind) == P4K || (kind) == P5K || (kind) == P6K)
#define HEADER_BYTES 160
#define PREFETCH_BYTES 2048
static const int bytes_per_block[] = {160, 128, 160, 192, 272};

size_t group_bytes(int kind, int inputs) {
    size_t blocks = (size_t)inputs / BLOCK;
    return blocks * bytes_per_block[kind] + (IS_K(kind) ? blocks / 8 * HEADER_BYTES : 0);
}

void quantise_row(const float *x, const Rows *rows, int row) {
    int blocks = rows->inputs / BLOCK, height = tile_height(rows, row);
    QBlock *to = row_start(rows, row);
    for (int b = 0; b < blocks; b++, x += BLOCK, to += height) {
        int total = round_block(x, to->q, &to->scale, to->centre);
        to->sum = to->scale * (float)total;
    }
}

/* One 32-input block of a group, unpacked. */
typedef struct {
    Quad quad[8];
    Lanes32 scale_a, scale_b; /* integer scales of the two halves, where the layout has them */
    Float8 scale, minimum;
} Unpacked;

/* scales: those of this block, in the header of its eight. */
static inline __attribute__((always_inline)) void unpack(int kind, const uint8_t *header, const uint8_t *scales,
                                                         const uint8_t *block, Unpacked *u) {
    if (kind == P4) {
        u->scale = load_half8(block);
        u->minimum = load_half8(block + 16);
        unpack_nibbles(block + 32, u->quad);
    } else if (kind == P4K || kind == P5K) {
        u->scale = load_half8(header);
        u->scale_a = pair_scales(scales);
        u->minimum = mul8(load_half8(header + 16), bytes_to_float8(scales + 8));
        unpack_nibbles(block, u->quad);
        if (kind == P5K) add_high_bit(block + 128, u->quad);
    } else if (kind == P6K) {
        u->scale = load_half8(header);
        u->scale_a = pair_scales_signed(scales);
        u->scale_b = pair_scales_signed(scales + 8);
        unpack_nibbles(block, u->quad);
        add_high_two_bits(block + 128, u->quad);
    } else {
        u->scale = load_half8(block);
        load_bytes(block + 16, u->quad);
    }
}

static inline __attribute__((always_inline)) void accumulate(int kind, const Unpacked *u, const QBlock *x,
                                                             Float8 *total) {
    Lanes32 dot;
    if (kind == P4) dot = widen(dot_quads(u->quad, x->q, 8, zero_start()));
    else if (kind == P4K) dot = widen_scaled(dot_quads(u->quad, x->q, 8, zero_start()), u->scale_a);
    else if (kind == P5K)
        dot = add_lanes(widen_scaled(dot_quads(u->quad, x->q, 4, zero_start()), u->scale_a),
                        widen_scaled(dot_quads(u->quad + 4, x->q + 16, 4, zero_start()), u->scale_a));
    else if (kind == P6K)
        dot = add_lanes(widen_scaled(dot_quads(u->quad, x->q, 4, start_at(x->centre)), u->scale_a),
                        widen_scaled(dot_quads(u->quad + 4, x->q + 16, 4, start_at(x->centre + 1)), u->scale_b));
    else dot = dot_signed(u->quad, x->q);
    *total = fma8(lanes_to_float8(dot), scale8(u->scale, x->scale), *total);
    if (kind == P4 || kind == P4K || kind == P5K) *total = fma8(u->minimum, broadcast8(x->sum), *total);
}

static inline __attribute__((always_inline)) void tile(int kind, const uint8_t *at, int blocks, const QBlock *x, int n,
                                                       float *out, int out_stride) {
    Float8 total[TILE];
    for (int r = 0; r < n; r++) total[r] = zero8();
    const uint8_t *header = at;
    for (int b = 0; b < blocks; b++) {
        if (IS_K(kind) && b % 8 == 0) { header = at; at += HEADER_BYTES; }
        Unpacked u;
        unpack(kind, header, header + 32 + 16 * (b % 8), at, &u);
        for (int ahead = 0; ahead < bytes_per_block[kind]; ahead += 64) prefetch(at + PREFETCH_BYTES + ahead);
#pragma GCC unroll 4
        for (int r = 0; r < n; r++) accumulate(kind, &u, x++, &total[r]);
        at += bytes_per_block[kind];
    }
    for (int r = 0; r < n; r++) store8(out + (size_t)r * out_stride, total[r]);
}

static inline __attribute__((always_inline)) void groups(int kind, const Matrix *w, const Rows *x, float *out,
                                                         int stride, int first, int end) {
    size_t bytes = group_bytes(kind, w->inputs);
    int blocks = w->inputs / BLOCK;
    for (int row = 0; row < x->count; row += TILE) {
        int height = tile_height(x, row);
        const QBlock *start = row_start(x, row);
        for (int g = first; g < end; g++) {
            const uint8_t *at = w->data + (size_t)g * bytes;
            float *to = out + (size_t)row * stride + g * COLUMNS;
            if (height == 1) tile(kind, at, blocks, start, 1, to, stride);
            else if (height == TILE) tile(kind, at, blocks, start, TILE, to, stride);
            else tile(kind, at, blocks, start, height, to, stride);
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
