/* Attention over the blocks of the key-value cache.
 *
 * Keys lie transposed within a block, (head_size, KV_BLOCK), so that eight tokens' scores grow in one register;
 * values lie (KV_BLOCK, head_size). Every row is computed in the same order whatever else is in the batch, so that
 * batches and caches do not change a bit. */
#ifndef VIGNETTE_ATTENTION_H
#define VIGNETTE_ATTENTION_H

#include "model.h"

int attention_items(const Model *model, const Batch *batch);
size_t attention_scratch(const Model *model, int context_tokens);
void attend(const Model *model, const Batch *batch, WorkSpace *work, int layer, int item, int worker);
void store_key_value(const Model *model, const Batch *batch, int row, int layer, int kv_head, const float *key,
                     const float *value);

#endif
