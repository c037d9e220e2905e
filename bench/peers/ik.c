/* One sequence of ik_llama.cpp, compiled against its own header: its structures are not llama.cpp's, and it
   has no Python package. `ik.py` loads it. */
#include "llama.h"
#include <stdio.h>

static void errors_only(enum ggml_log_level level, const char *text, void *unused) {
  (void)unused;
  if (level == GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

/* The model in a file, its tensors laid out anew for this CPU with `repack`; NULL when it cannot be loaded. */
struct llama_model *ik_load(const char *file, int repack) {
  struct llama_model_params params = llama_model_default_params();
  llama_log_set(errors_only, NULL);
  llama_backend_init();
  params.repack_tensors = repack;
  if (repack) params.use_mmap = false;
  return llama_model_load_from_file(file, params);
}

struct llama_context *ik_open(struct llama_model *model, int context, int batch, int threads, int flash) {
  struct llama_context_params params = llama_context_default_params();
  params.n_ctx = (uint32_t)context;
  params.n_batch = params.n_ubatch = (uint32_t)batch;
  params.n_threads = params.n_threads_batch = (uint32_t)threads;
  params.flash_attn = flash;
  return llama_init_from_model(model, params);
}

/* Evaluates ids behind the first `past` tokens, up to the logits of the last one; 0 when that is done. */
int ik_feed(struct llama_context *context, int32_t *ids, int count, int past) {
  const int failed = llama_decode(context, llama_batch_get_one(ids, count, past, 0));
  return failed ? failed : !llama_get_logits_ith(context, -1);
}

void ik_rewind(struct llama_context *context, int tokens) { llama_kv_cache_seq_rm(context, 0, tokens, -1); }
