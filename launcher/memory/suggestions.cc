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

PlanInput changed_by(const PlanInput& input, const Change& change) {
  PlanInput changed = input;
  changed.flags = change.flags;
  if (!change.is_other_engine) return changed;
  changed.learned.reset();
  if (changed.weights_per_gpu) {
    changed.weights_per_gpu = *changed.weights_per_gpu * input.flags.gpus() / change.flags.gpus();
  }
  return changed;
}

// The plan with that change, if it fits.
std::optional<Suggestion> try_out(const PlanInput& input, const Change& change) {
  const auto plan = plan_memory(changed_by(input, change));
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
  constexpr std::int64_t kKept = kCudaContext + kGiB * 3 / 10;  // and what others take meanwhile
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
  for (const std::int64_t fewer : {plan.blocks, std::int64_t{256}, std::int64_t{64}}) {
    if (fewer < 1 || plan.sizes.max_num_seqs <= fewer) continue;
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

// Those of the GPUs at hand, or those beyond them.
void add_gpus(const MemoryPlan& plan, const EngineFlags& flags, std::int64_t at_hand,
              bool beyond_those, std::vector<Change>& changes) {
  const auto cost = [at_hand](std::int64_t gpus) {
    if (gpus <= at_hand) return fmt::format("{} GPUs", gpus);
    if (at_hand == 0) return fmt::format("{} such GPUs", gpus);  // nobody has told which there are
    return fmt::format("{} such GPUs, {} at hand", gpus, at_hand);
  };
  const auto is_wanted = [=](std::int64_t gpus) { return (gpus > at_hand) == beyond_those; };
  for (const std::int64_t gpus : plan.allowed_tensor_parallel) {
    const std::int64_t all = flags.gpus() / flags.tensor_parallel() * gpus;
    if (gpus <= flags.tensor_parallel() || !is_wanted(all)) continue;
    Change change{fmt::format("--tensor-parallel-size {}", gpus), cost(all), flags, true};
    change.flags.tensor_parallel_size = gpus;
    changes.push_back(std::move(change));
  }
  const std::int64_t stages = flags.pipeline_parallel_size * 2;
  const std::int64_t all = flags.gpus() * 2;
  if (!is_wanted(all)) return;
  Change change{fmt::format("--pipeline-parallel-size {}", stages), cost(all), flags, true};
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
  // More than that is no way to serve.
  const std::int64_t most = plan.shares.weights / 2;
  if (!flags.kv_cache_memory && short_of > 0 && short_of < most) {
    const double gib = std::ceil(to_gib(short_of + flags.cpu_offload) + 0.1);
    Change change{fmt::format("--cpu-offload-gb {:.0f}", gib), "much slower", flags, true};
    change.flags.cpu_offload = from_gib(gib);
    changes.push_back(std::move(change));
  }
}

// "--max-num-seqs" of "--max-num-seqs 64".
std::string_view name_of(std::string_view flag) {
  return flag.substr(0, flag.find(' '));
}

// The least of each kind.
std::vector<Suggestion> those_that_fit(const PlanInput& input, const std::vector<Change>& changes) {
  std::vector<Suggestion> fitting;
  for (const Change& change : changes) {
    const bool is_known = std::ranges::any_of(fitting, [&change](const Suggestion& other) {
      return name_of(other.flag) == name_of(change.flag);
    });
    if (is_known) continue;
    if (auto suggestion = try_out(input, change)) fitting.push_back(*std::move(suggestion));
  }
  return fitting;
}

// Where no change alone will do: each with the longest context that it leaves.
std::vector<Change> with_shorter_context(const PlanInput& input,
                                         const std::vector<Change>& changes) {
  constexpr std::int64_t kUseful = 1024;
  std::vector<Change> both;
  for (Change change : changes) {
    const auto plan = plan_memory(changed_by(input, change));
    if (!plan || plan->longest_context < kUseful) continue;
    change.flag += fmt::format(" --max-model-len {}", plan->longest_context);
    change.cost += ", and a shorter context";
    change.flags.max_model_len = plan->longest_context;
    both.push_back(std::move(change));
  }
  return both;
}

}  // namespace

std::string describe(const Suggestion& suggestion) {
  return fmt::format(
      "{}: a request of {} tokens needs {} of {} KV cache per GPU, {:.2f} at once{}{}",
      suggestion.flag, grouped(suggestion.max_model_len), gib_text(suggestion.needed_kv),
      gib_text(suggestion.available_kv), suggestion.max_concurrency,
      suggestion.cost.empty() ? "" : "; costs: ", suggestion.cost);
}

std::vector<Suggestion> suggest(const PlanInput& input, std::int64_t gpus_at_hand) {
  const auto plan = plan_memory(input);
  if (!plan || plan->fits()) return {};
  std::vector<Change> changes;
  add_context(*plan, input.flags, changes);
  add_given_cache(*plan, input.flags, changes);
  add_utilization(*plan, input.flags, changes);
  add_batch_sizes(*plan, input.flags, changes);
  add_gpus(*plan, input.flags, gpus_at_hand, false, changes);
  add_lossy(input, *plan, changes);
  add_gpus(*plan, input.flags, gpus_at_hand, true, changes);
  auto fitting = those_that_fit(input, changes);
  return fitting.empty() ? those_that_fit(input, with_shorter_context(input, changes)) : fitting;
}

}  // namespace batchproxy
