/* One pass of a llama, qwen2 or qwen3 decoder over a batch of rows.
 *
 * A row is one token of one sequence at one position. Rows of a sequence come in order of position; sequences may mix.
 * Keys and values live in blocks of KV_BLOCK tokens that sequences refer to by table, so that sequences share a
 * prefix by naming the same blocks. All members of the team run `pass` together, phase after phase. */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

#define GROUPS_PER_PICK 4   /* groups of outputs a member takes at a time */

typedef struct {
    const Model *model;
    const Batch *batch;
    Work *work;
    Team *team;
} Pass;

static int pick(Pass *p, int phase, int by) {
    return atomic_fetch_add_explicit(&p->work->next[phase], by, memory_order_relaxed);
}

typedef struct { const Matrix *weight; const Rows *rows; float *out; int stride; } Product;

/* Several products as one phase: their groups are numbered through. */
static void multiply(Pass *p, int phase, const Product *products, int count) {
    int total = 0;
    for (int i = 0; i < count; i++) total += products[i].weight->outputs / COLUMNS;
    for (int first; (first = pick(p, phase, GROUPS_PER_PICK)) < total;) {
        int end = first + GROUPS_PER_PICK < total ? first + GROUPS_PER_PICK : total, offset = 0;
        for (int i = 0; i < count; i++) {
            int size = products[i].weight->outputs / COLUMNS;
            int from = first > offset ? first - offset : 0, to = end - offset < size ? end - offset : size;
            if (from < to)
                matmul_groups(products[i].weight, products[i].rows, products[i].out, products[i].stride, from, to);
            offset += size;
        }
    }
    team_barrier(p->team);
}

static void normalise(const float *x, const float *weight, int n, float epsilon, float *out) {
    float square = 0;
#pragma omp simd reduction(+ : square)
    for (int i = 0; i < n; i++) square += x[i] * x[i];
    float scale = 1.0f / sqrtf(square / (float)n + epsilon);
    for (int i = 0; i < n; i++) out[i] = x[i] * scale * weight[i];
}

static void turn(float *head, const float *cosine, const float *sine, int size, int interleaved) {
    int half = size / 2;
    for (int i = 0; i < half; i++) {
        int a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + half;
        float x = head[a], y = head[b];
        head[a] = x * cosine[i] - y * sine[i];
        head[b] = x * sine[i] + y * cosine[i];
    }
}

static uint16_t *cache_at(const Model *m, uint16_t *cache, int layer, const int32_t *table, int position, int kv_head) {
    size_t block = (size_t)table[position / KV_BLOCK];
    size_t tokens = ((block * m->layers + layer) * m->kv_heads + kv_head) * KV_BLOCK + position % KV_BLOCK;
    return cache + tokens * m->head_size;
}

static void prepare_heads(Pass *p, int layer, int row) {
    const Model *m = p->model;
    const Layer *l = &m->layer[layer];
    int size = m->head_size, half = size / 2, position = p->batch->position[row];
    const int32_t *table = p->batch->table + (size_t)p->batch->sequence[row] * p->batch->table_stride;
    const float *cosine = m->cosine + (size_t)position * half, *sine = m->sine + (size_t)position * half;
    float *q = p->work->q + (size_t)row * m->heads * size;
    float *k = p->work->k + (size_t)row * m->kv_heads * size, *v = p->work->v + (size_t)row * m->kv_heads * size;
    if (l->q_bias) for (int i = 0; i < m->heads * size; i++) q[i] += l->q_bias[i];
    if (l->k_bias) for (int i = 0; i < m->kv_heads * size; i++) k[i] += l->k_bias[i];
    if (l->v_bias) for (int i = 0; i < m->kv_heads * size; i++) v[i] += l->v_bias[i];
    for (int h = 0; h < m->heads; h++) {
        if (l->q_norm) normalise(q + h * size, l->q_norm, size, m->epsilon, q + h * size);
        turn(q + h * size, cosine, sine, size, m->interleaved);
    }
    for (int h = 0; h < m->kv_heads; h++) {
        if (l->k_norm) normalise(k + h * size, l->k_norm, size, m->epsilon, k + h * size);
        turn(k + h * size, cosine, sine, size, m->interleaved);
        floats_to_halves(k + h * size, cache_at(m, m->keys, layer, table, position, h), size);
        floats_to_halves(v + h * size, cache_at(m, m->values, layer, table, position, h), size);
    }
}

static void layer_pass(Pass *p, int layer, int phase, int member) {
    const Model *m = p->model;
    const Layer *l = &m->layer[layer];
    Work *w = p->work;
    int n = p->batch->rows, attended = m->heads * m->head_size, kv = m->kv_heads * m->head_size;
    const Rows narrow = {w->narrow, n, m->width}, wide = {w->wide, n, attended}, hidden = {w->wide, n, m->hidden};

    for (int row; (row = pick(p, phase, 1)) < n;) {
        normalise(w->x + (size_t)row * m->width, l->attention_norm, m->width, m->epsilon, w->scratch[member]);
        quantise_row(w->scratch[member], &narrow, row);
    }
    team_barrier(p->team);
    const Product qkv[] = {{&l->q, &narrow, w->q, attended}, {&l->k, &narrow, w->k, kv}, {&l->v, &narrow, w->v, kv}};
    multiply(p, phase + 1, qkv, 3);

    for (int row; (row = pick(p, phase + 2, 1)) < n;) prepare_heads(p, layer, row);
    team_barrier(p->team);
    for (int item; (item = pick(p, phase + 3, 1)) < attention_items(m, p->batch);)
        attend(m, p->batch, w, layer, item, member);
    team_barrier(p->team);
    for (int row; (row = pick(p, phase + 4, 1)) < n;)
        quantise_row(w->attended + (size_t)row * attended, &wide, row);
    team_barrier(p->team);
    const Product out[] = {{&l->output, &wide, w->change, m->width}};
    multiply(p, phase + 5, out, 1);

    for (int row; (row = pick(p, phase + 6, 1)) < n;) {
        float *x = w->x + (size_t)row * m->width, *change = w->change + (size_t)row * m->width;
        for (int i = 0; i < m->width; i++) x[i] += change[i];
        normalise(x, l->feed_norm, m->width, m->epsilon, w->scratch[member]);
        quantise_row(w->scratch[member], &narrow, row);
    }
    team_barrier(p->team);
    const Product gated[] = {{&l->gate, &narrow, w->gate, m->hidden}, {&l->up, &narrow, w->up, m->hidden}};
    multiply(p, phase + 7, gated, 2);

    for (int row; (row = pick(p, phase + 8, 1)) < n;) {
        float *gate = w->gate + (size_t)row * m->hidden, *up = w->up + (size_t)row * m->hidden;
        for (int i = 0; i < m->hidden; i++) gate[i] = gate[i] / (1.0f + fast_exp(-gate[i])) * up[i];
        quantise_row(gate, &hidden, row);
    }
    team_barrier(p->team);
    const Product down[] = {{&l->down, &hidden, w->change, m->width}};
    multiply(p, phase + 9, down, 1);
    for (int row; (row = pick(p, phase + 10, 1)) < n;) {
        float *x = w->x + (size_t)row * m->width, *change = w->change + (size_t)row * m->width;
        for (int i = 0; i < m->width; i++) x[i] += change[i];
    }
    team_barrier(p->team);
}

static void pass(void *state, int member) {
    Pass *p = state;
    const Model *m = p->model;
    const Batch *b = p->batch;
    Work *w = p->work;
    for (int row; (row = pick(p, 0, 1)) < b->rows;)
        dequantise_output(&m->embedding, b->token[row], w->x + (size_t)row * m->width);
    team_barrier(p->team);
    for (int layer = 0; layer < m->layers; layer++) layer_pass(p, layer, 1 + layer * PHASES_PER_LAYER, member);
    int phase = 1 + m->layers * PHASES_PER_LAYER;
    const Rows narrow = {w->narrow, b->outputs, m->width};
    for (int i; (i = pick(p, phase, 1)) < b->outputs;) {
        normalise(w->x + (size_t)b->output_row[i] * m->width, m->last_norm, m->width, m->epsilon, w->scratch[member]);
        quantise_row(w->scratch[member], &narrow, i);
    }
    team_barrier(p->team);
    if (!b->outputs) return;
    const Product logits[] = {{&m->logits, &narrow, b->logits, b->logits_stride}};
    multiply(p, phase + 1, logits, 1);
}

static void *floats(size_t n, size_t size) {
    void *p = NULL;
    return posix_memalign(&p, 64, n * size + 64) ? NULL : p;
}

Work *work_open(const Model *m, int rows, int threads, int context_tokens) {
    Work *w = calloc(1, sizeof(Work));
    if (!w) return NULL;
    size_t n = (size_t)rows, attended = (size_t)m->heads * m->head_size, kv = (size_t)m->kv_heads * m->head_size;
    size_t wide = attended > (size_t)m->hidden ? attended : (size_t)m->hidden;
    w->threads = threads;
    w->next = calloc((size_t)(3 + m->layers * PHASES_PER_LAYER), sizeof(atomic_int));
    w->scratch = calloc((size_t)threads, sizeof(float *));
    w->scores = calloc((size_t)threads, sizeof(float *));
    int good = w->next && w->scratch && w->scores && (w->narrow = floats(n * m->width / BLOCK, sizeof(QBlock)));
    good = good && (w->wide = floats(n * wide / BLOCK, sizeof(QBlock)));
    good = good && (w->x = floats(n * m->width, 4)) && (w->change = floats(n * m->width, 4));
    good = good && (w->q = floats(n * attended, 4)) && (w->attended = floats(n * attended, 4));
    good = good && (w->k = floats(n * kv, 4)) && (w->v = floats(n * kv, 4));
    good = good && (w->gate = floats(n * m->hidden, 4)) && (w->up = floats(n * m->hidden, 4));
    for (int i = 0; good && i < threads; i++) {
        w->scratch[i] = floats((size_t)m->width, 4);
        w->scores[i] = floats(attention_scratch(m, context_tokens), 4);
        good = w->scratch[i] && w->scores[i];
    }
    if (!good) { work_close(w); return NULL; }
    return w;
}

void work_close(Work *w) {
    for (int i = 0; i < w->threads; i++) {
        if (w->scratch) free(w->scratch[i]);
        if (w->scores) free(w->scores[i]);
    }
    void *all[] = {w->narrow, w->wide, w->next, w->scratch, w->scores, w->x, w->change, w->q, w->attended, w->k, w->v, w->gate, w->up};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    free(w);
}

void decode(const Model *model, const Batch *batch, Work *work, Team *team) {
    Pass p = {model, batch, work, team};
    int phases = 3 + model->layers * PHASES_PER_LAYER;
    for (int i = 0; i < phases; i++) atomic_store_explicit(&work->next[i], 0, memory_order_relaxed);
    team_run(team, pass, &p);
}
