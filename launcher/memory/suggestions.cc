// launcher/memory/suggestions.cc - one changed flag after another, planned anew.
#include "launcher/memory/suggestions.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>

namespace batchproxy {
namespace {

struct Change {
  std::string flag;
  std::string cost;
  EngineFlags flags;
  bool is_other_engine = false;  // what was learned does not hold for it
};

// The plan with that change, if it fits.
std::optional<Suggestion> try_out(const PlanInput& input, const Change& change) {
  PlanInput changed = input;
  changed.flags = change.flags;
  if (change.is_other_engine) {
    changed.learned.reset();
    if (changed.weights_per_gpu) {
      changed.weights_per_gpu = *changed.weights_per_gpu * input.flags.gpus() / change.flags.gpus();
    }
  }
  const auto plan = plan_memory(changed);
  if (!plan || !plan->fits()) return std::nullopt;
  return Suggestion{
      change.flag,     change.cost,           plan->max_model_len,  plan->shares.available_kv,
      plan->needed_kv, plan->longest_context, plan->max_concurrency};
}

void add_context(const MemoryPlan& plan, const EngineFlags& flags, std::vector<Change>& changes) {
  if (plan.longest_context <= 0 || plan.longest_context >= plan.max_model_len) return;
  Change change{fmt::format("--max-model-len {}", plan.longest_context), "a shorter context",
                flags};
  change.flags.max_model_len = plan.longest_context;
  changes.push_back(std::move(change));
}

void add_given_cache(const MemoryPlan& plan, const EngineFlags& flags,
                     std::vector<Change>& changes) {
  if (!flags.kv_cache_memory || plan.needed_kv <= *flags.kv_cache_memory) return;
  const double gib = std::ceil(to_gib(plan.needed_kv) * 100 + 1) / 100;
  Change change{fmt::format("--kv-cache-memory {:.2f}GiB", gib), "if a GPU has it", flags};
  change.flags.kv_cache_memory = from_gib(gib);
  changes.push_back(std::move(change));
}

// As much more, or less, as it takes, and at most what is free.
void add_utilization(const MemoryPlan& plan, const EngineFlags& flags,
                     std::vector<Change>& changes) {
  constexpr std::int64_t kKept = kGiB * 3 / 10;  // of the free memory, for what others take
  if (flags.kv_cache_memory || plan.gpu.total <= 0) return;
  const auto total = static_cast<double>(plan.gpu.total);
  const double most =
      std::min(0.95, std::floor(static_cast<double>(plan.gpu.free - kKept) / total * 100) / 100);
  const double wanted =
      static_cast<double>(plan.shares.requested + plan.needed_kv - plan.shares.available_kv) /
      total;
  const double now = utilization(flags);
  const double next = now > most ? most : std::min(most, std::ceil(wanted * 100) / 100);
  if (next <= 0 || next == now) return;
  Change change{fmt::format("--gpu-memory-utilization {:.2f}", next),
                next > now ? "less memory for others on the GPU" : "a smaller KV cache", flags};
  change.flags.gpu_memory_utilization = next;
  changes.push_back(std::move(change));
}

void add_batch_sizes(const MemoryPlan& plan, const EngineFlags& flags,
                     std::vector<Change>& changes) {
  for (const std::int64_t fewer : {std::int64_t{256}, std::int64_t{64}}) {
    if (plan.sizes.max_num_seqs <= fewer) continue;
    Change change{fmt::format("--max-num-seqs {}", fewer), "fewer requests at once", flags, true};
    change.flags.max_num_seqs = fewer;
    changes.push_back(std::move(change));
  }
  constexpr std::int64_t kFewer = 2048;
  if (plan.sizes.max_num_batched_tokens <= kFewer) return;
  Change change{fmt::format("--max-num-batched-tokens {}", kFewer), "slower prefill", flags, true};
  change.flags.max_num_batched_tokens = kFewer;
  changes.push_back(std::move(change));
}

void add_gpus(const MemoryPlan& plan, const EngineFlags& flags, std::int64_t most,
              std::vector<Change>& changes) {
  for (const std::int64_t gpus : plan.allowed_tensor_parallel) {
    if (gpus <= flags.tensor_parallel() || gpus * flags.pipeline_parallel_size > most) continue;
    Change change{fmt::format("--tensor-parallel-size {}", gpus),
                  fmt::format("{} GPUs", gpus * flags.pipeline_parallel_size), flags, true};
    change.flags.tensor_parallel_size = gpus;
    changes.push_back(std::move(change));
  }
  const std::int64_t stages = flags.pipeline_parallel_size * 2;
  if (stages * flags.tensor_parallel() > most) return;
  Change change{fmt::format("--pipeline-parallel-size {}", stages),
                fmt::format("{} GPUs", stages * flags.tensor_parallel()), flags, true};
  change.flags.pipeline_parallel_size = stages;
  changes.push_back(std::move(change));
}

void add_lossy(const PlanInput& input, const MemoryPlan& plan, std::vector<Change>& changes) {
  const EngineFlags& flags = input.flags;
  if (flags.kv_cache_dtype == "auto" && !input.shape.has_fp8_kv_scales) {
    Change change{"--kv-cache-dtype fp8", "less exact attention", flags};
    change.flags.kv_cache_dtype = "fp8";
    changes.push_back(std::move(change));
  }
  if (input.shape.quantization.empty() && flags.quantization.empty() && !input.tensors.empty()) {
    const bool is_new = flags.version >= kReservesABlock;
    const std::string name = is_new ? "fp8_per_tensor" : "fp8";
    Change change{"--quantization " + name, "less exact weights", flags, true};
    change.flags.quantization = name;
    changes.push_back(std::move(change));
  }
  const std::int64_t short_of = plan.needed_kv - plan.shares.available_kv;
  if (!flags.kv_cache_memory && short_of > 0 && short_of < plan.shares.weights) {
    const double gib = std::ceil(to_gib(short_of + flags.cpu_offload) + 0.1);
    Change change{fmt::format("--cpu-offload-gb {:.0f}", gib), "much slower", flags, true};
    change.flags.cpu_offload = from_gib(gib);
    changes.push_back(std::move(change));
  }
}

}  // namespace

std::string describe(const Suggestion& suggestion) {
  return fmt::format(
      "{}: a request of {} tokens needs {} of {} KV cache per GPU, {:.2f} at once{}{}",
      suggestion.flag, grouped(suggestion.max_model_len), gib_text(suggestion.needed_kv),
      gib_text(suggestion.available_kv), suggestion.max_concurrency,
      suggestion.cost.empty() ? "" : "; costs: ", suggestion.cost);
}

std::vector<Suggestion> suggest(const PlanInput& input, std::int64_t most_gpus) {
  const auto plan = plan_memory(input);
  if (!plan || plan->fits()) return {};
  std::vector<Change> changes;
  add_context(*plan, input.flags, changes);
  add_given_cache(*plan, input.flags, changes);
  add_utilization(*plan, input.flags, changes);
  add_batch_sizes(*plan, input.flags, changes);
  add_gpus(*plan, input.flags, most_gpus, changes);
  add_lossy(input, *plan, changes);
  std::vector<Suggestion> fitting;
  for (const Change& change : changes) {
    if (auto suggestion = try_out(input, change)) fitting.push_back(*std::move(suggestion));
  }
  return fitting;
}

}  // namespace batchproxy
