// launcher/memory/memory_plan.cc - one sum after another.
#include "launcher/memory/memory_plan.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace batchproxy {
namespace {

// What estimates are short of now and then. A context that is shortened, is shortened enough.
constexpr std::int64_t kMargin = kGiB / 2;
constexpr std::int64_t kMostTensorParallel = 16;

std::int64_t requested_bytes(const PlanGpu& gpu, const EngineFlags& flags) {
  return static_cast<std::int64_t>(std::ceil(static_cast<double>(gpu.total) * utilization(flags)));
}

// The layers with caches of a pipeline stage.
CacheLayers layers_of_stage(const ModelShape& shape, const EngineFlags& flags, std::int64_t stage) {
  CacheLayers layers = shape.caches;
  const std::int64_t stages = flags.pipeline_parallel_size;
  if (stages > 1) {
    const auto own = stage_layers(shape.layers, stages)[static_cast<std::size_t>(stage)];
    layers.full = layers.full * own / shape.layers;
  }
  if (flags.mtp_tokens > 0 && stage == stages - 1) {
    layers.full += std::max<std::int64_t>(1, shape.draft_layers);
  }
  return layers;
}

// The weights of each stage, or one reason.
class StageWeights {
 public:
  static Planned<StageWeights> of(const PlanInput& input) {
    StageWeights made(input);
    const EngineFlags& flags = input.flags;
    if (!input.tensors.empty()) {
      const LoadAs load{dtype_bytes(flags), flags.quantization, flags.mtp_tokens > 0};
      auto weights = weigh(input.tensors, input.shape, load);
      if (!weights) return weights.error();
      made.weights_ = *std::move(weights);
    } else if (input.checkpoint_bytes > 0) {
      made.weights_ = weigh_total(input.checkpoint_bytes);
    }
    return made;
  }

  // Bytes on a GPU of that stage; nothing if they are not known.
  std::optional<std::int64_t> on_gpu(std::int64_t stage) const {
    const EngineFlags& flags = input_->flags;
    if (input_->learned && input_->learned->weights) return input_->learned->weights;
    if (!weights_ && !input_->weights_per_gpu) return std::nullopt;
    const std::int64_t bytes =
        input_->weights_per_gpu ? *input_->weights_per_gpu
                                : weights_per_gpu(*weights_, input_->shape, flags.tensor_parallel(),
                                                  flags.pipeline_parallel_size, stage);
    return std::max<std::int64_t>(0, bytes - flags.cpu_offload);
  }

  std::vector<LargeTensor> large() const {
    return weights_ ? weights_->large : std::vector<LargeTensor>();
  }

 private:
  explicit StageWeights(const PlanInput& input) : input_(&input) {}

  const PlanInput* input_;
  std::optional<Weights> weights_;
};

GpuShares shares_of(const PlanInput& input, const BatchSizes& sizes,
                    std::optional<std::int64_t> weights) {
  const EngineFlags& flags = input.flags;
  const Overhead overhead = estimate_overhead(input.shape, flags, sizes);
  const EngineBudget learned = input.learned.value_or(EngineBudget());
  GpuShares shares;
  shares.requested = requested_bytes(input.gpu, flags);
  shares.weights = weights.value_or(0);
  shares.activation = learned.activation.value_or(overhead.activation);
  shares.non_torch = learned.non_torch.value_or(overhead.non_torch);
  shares.graphs = learned.graphs.value_or(overhead.graphs);
  shares.graphs_are_inside = flags.version >= kSubtractsGraphs;
  shares.context = kCudaContext;
  shares.available_kv = shares.requested - shares.weights - shares.activation - shares.overhead();
  if (flags.kv_cache_memory) {
    shares.available_kv = *flags.kv_cache_memory;
    shares.requested = shares.weights + shares.activation + shares.overhead() + shares.available_kv;
  } else if (learned.available_kv) {
    // What the other start had, and what is requested more or less now.
    const std::int64_t before = learned.requested.value_or(shares.requested);
    shares.available_kv = *learned.available_kv + shares.requested - before;
    const std::int64_t rest = shares.requested - shares.available_kv - shares.weights -
                              shares.activation - shares.overhead();
    shares.non_torch = std::max<std::int64_t>(0, shares.non_torch + rest);
  }
  const std::int64_t outside = shares.context + (shares.graphs_are_inside ? 0 : shares.graphs);
  shares.left = std::max<std::int64_t>(0, input.gpu.free - shares.requested - outside);
  return shares;
}

bool divides(std::int64_t gpus, std::int64_t number) {
  return number % gpus == 0;
}

bool allows(const ModelShape& shape, std::int64_t gpus) {
  constexpr std::int64_t kVocabularyPadding = 64;
  const std::int64_t padded =
      (shape.vocabulary + kVocabularyPadding - 1) / kVocabularyPadding * kVocabularyPadding;
  const std::int64_t kv_heads = shape.attention.kv_heads;
  const bool splits_kv =
      shape.attention.is_mla() || divides(gpus, kv_heads) || divides(kv_heads, gpus);
  const bool splits_states =
      !shape.recurrent ||
      (divides(gpus, shape.recurrent->heads) &&
       (!shape.recurrent->groups_are_split || divides(gpus, shape.recurrent->groups)));
  const bool splits_width = shape.intermediate == 0 || divides(gpus, shape.intermediate);
  return divides(gpus, shape.heads) && splits_kv && splits_states && splits_width &&
         divides(gpus, padded);
}

// A stage's cache with what limits it.
struct StagePlan {
  GpuShares shares;
  KvLayout layout;
  std::int64_t pool_blocks = 0;
};

std::int64_t pool_blocks(const KvLayout& layout, std::int64_t bytes) {
  return std::max<std::int64_t>(0, bytes) / std::max<std::int64_t>(1, layout.pool_block_bytes);
}

// Those of them that requests can use.
std::int64_t usable_of(std::int64_t blocks, const Version& version) {
  return std::max<std::int64_t>(0, version >= kReservesABlock ? blocks - 1 : blocks);
}

Planned<StagePlan> plan_stage(const PlanInput& input, const BatchSizes& sizes,
                              const StageWeights& weights, std::int64_t stage) {
  auto layout = kv_layout(input.shape, layers_of_stage(input.shape, input.flags, stage),
                          input.flags, sizes.max_num_batched_tokens);
  if (!layout) return layout.error();
  StagePlan plan;
  plan.layout = *layout;
  plan.shares = shares_of(input, sizes, weights.on_gpu(stage));
  plan.pool_blocks = pool_blocks(plan.layout, plan.shares.available_kv);
  return plan;
}

// The stage with the fewest blocks: all stages get as many.
Planned<StagePlan> plan_stages(const PlanInput& input, const BatchSizes& sizes,
                               const StageWeights& weights) {
  auto least = plan_stage(input, sizes, weights, 0);
  for (std::int64_t stage = 1; least && stage < input.flags.pipeline_parallel_size; ++stage) {
    auto other = plan_stage(input, sizes, weights, stage);
    if (!other || other->pool_blocks < least->pool_blocks) least = std::move(other);
  }
  return least;
}

void count_tokens(const PlanInput& input, MemoryPlan& plan) {
  const KvLayout& layout = plan.layout;
  const std::int64_t each = layout.blocks_for(plan.max_model_len);
  plan.max_concurrency = static_cast<double>(plan.blocks) / static_cast<double>(each);
  plan.needed_kv = each * layout.pool_block_bytes;
  if (input.flags.version >= kReservesABlock) plan.needed_kv += layout.pool_block_bytes;
  plan.printed_tokens = plan.kv_tokens;
  if (input.flags.version >= kTokensOfConcurrency) {
    plan.printed_tokens =
        static_cast<std::int64_t>(plan.max_concurrency * static_cast<double>(plan.max_model_len));
  }
  const std::int64_t own = input.shape.max_positions;
  const std::int64_t limit = own > 0 ? std::max(own, plan.max_model_len) : plan.max_model_len;
  plan.longest_context = layout.longest_in(plan.blocks, limit);
}

// Each sequence of a hybrid has a block of its own, so vLLM refuses more sequences than blocks.
bool has_too_many_sequences(const PlanInput& input, const MemoryPlan& plan) {
  return input.shape.is_hybrid() && plan.blocks > 0 && plan.sizes.max_num_seqs > plan.blocks;
}

// What a choice of ours leaves free: an estimate keeps a margin, what is given or was learnt needs
// none.
std::int64_t margin_of(const PlanInput& input) {
  const bool is_sure =
      input.flags.kv_cache_memory || (input.learned && input.learned->available_kv);
  return is_sure ? 0 : kMargin;
}

std::int64_t blocks_of(const PlanInput& input, const MemoryPlan& plan, std::int64_t bytes) {
  return usable_of(pool_blocks(plan.layout, bytes), input.flags.version);
}

void limit_sequences(const PlanInput& input, MemoryPlan& plan) {
  if (!input.shape.is_hybrid() || input.flags.max_num_seqs) return;
  const std::int64_t blocks = blocks_of(input, plan, plan.shares.available_kv - margin_of(input));
  if (blocks <= 0 || plan.sizes.max_num_seqs <= blocks) return;
  plan.sizes.max_num_seqs = blocks;
  plan.limits_sequences = true;
}

void find_problems(const PlanInput& input, MemoryPlan& plan) {
  const EngineFlags& flags = input.flags;
  const std::int64_t gpus = flags.tensor_parallel();
  if (!allows(input.shape, gpus)) {
    plan.problems.push_back(fmt::format(
        "--tensor-parallel-size {} does not divide the model ({} heads, {} KV heads, vocabulary "
        "{}): {} would",
        gpus, input.shape.heads, input.shape.attention.kv_heads, input.shape.vocabulary,
        fmt::join(plan.allowed_tensor_parallel, ", ")));
  }
  const std::int64_t own = input.shape.max_positions;
  if (own > 0 && plan.max_model_len > own) {
    plan.problems.push_back(
        fmt::format("--max-model-len {} is longer than the model's own context of {}",
                    plan.max_model_len, own));
  }
  if (has_too_many_sequences(input, plan)) {
    plan.problems.push_back(
        fmt::format("--max-num-seqs {} is more than the {} blocks for the recurrent layers' states",
                    plan.sizes.max_num_seqs, plan.blocks));
  }
  const GpuShares& shares = plan.shares;
  if (plan.gpu.total > 0 && shares.requested + shares.context > plan.gpu.free) {
    plan.problems.push_back(
        fmt::format("GPU {} has {} free, and the engine asks for {} beside its CUDA context of {}",
                    plan.gpu.index, gib_text(plan.gpu.free), gib_text(shares.requested),
                    gib_text(shares.context)));
  }
  if (shares.available_kv <= 0) {
    plan.problems.push_back(fmt::format(
        "the weights ({}), activations ({}) and overhead ({}) leave nothing of {} for the KV cache",
        gib_text(shares.weights), gib_text(shares.activation), gib_text(shares.overhead()),
        gib_text(shares.requested)));
  } else if (plan.longest_context < plan.max_model_len) {
    plan.problems.push_back(fmt::format(
        "one request of {} tokens needs {} of KV cache on each GPU, and {} is available: the "
        "longest that fits is {} tokens",
        grouped(plan.max_model_len), gib_text(plan.needed_kv), gib_text(shares.available_kv),
        grouped(plan.longest_context)));
  }
}

}  // namespace

std::vector<std::int64_t> allowed_tensor_parallel(const ModelShape& shape, std::int64_t most) {
  std::vector<std::int64_t> allowed;
  for (std::int64_t gpus = 1; gpus <= most; ++gpus) {
    if (allows(shape, gpus)) allowed.push_back(gpus);
  }
  return allowed;
}

Planned<MemoryPlan> plan_memory(const PlanInput& input) {
  const EngineFlags& flags = input.flags;
  const auto weights = StageWeights::of(input);
  if (!weights) return weights.error();
  MemoryPlan plan;
  plan.gpu = input.gpu;
  plan.knows_weights = weights->on_gpu(0).has_value();
  plan.is_learned = input.learned.has_value();
  if (!plan.knows_weights && !flags.kv_cache_memory) {
    return NotPlanned{
        "the weights' size is not known, as there are no safetensors headers: tell it with "
        "--weights-memory, or the KV cache's with --kv-cache-memory"};
  }
  plan.large_tensors = weights->large();
  plan.sizes = batch_sizes(flags, input.gpu);
  plan.allowed_tensor_parallel = allowed_tensor_parallel(input.shape, kMostTensorParallel);
  plan.max_model_len = flags.max_model_len.value_or(input.shape.max_positions);
  if (plan.max_model_len == 0) {
    return NotPlanned{
        "config.json does not tell the context (max_position_embeddings): give "
        "--max-model-len"};
  }
  if (flags.pipeline_parallel_size > input.shape.layers) {
    return NotPlanned{fmt::format("--pipeline-parallel-size {} is more than the model's {} layers",
                                  flags.pipeline_parallel_size, input.shape.layers)};
  }
  if (flags.data_parallel_size > 1 && input.shape.is_moe) {
    return NotPlanned{"there is no formula for a mixture of experts in data parallel"};
  }
  auto stage = plan_stages(input, plan.sizes, *weights);
  if (!stage) return stage.error();
  plan.shares = stage->shares;
  plan.layout = stage->layout;
  plan.blocks = usable_of(stage->pool_blocks, flags.version);
  plan.kv_tokens = stage->pool_blocks / plan.layout.groups.all() * plan.layout.block_size;
  plan.kv_bytes_per_token = plan.layout.bytes_per_token();
  count_tokens(input, plan);
  limit_sequences(input, plan);
  find_problems(input, plan);
  return plan;
}

ContextChoice auto_context(const PlanInput& input) {
  if (input.flags.max_model_len) return {};  // the user's word
  const auto plan = plan_memory(input);
  if (!plan || plan->longest_context >= plan->max_model_len) return {};
  const std::int64_t margin = margin_of(input);
  const std::int64_t bytes = plan->shares.available_kv - margin;
  const std::int64_t longest =
      plan->layout.longest_in(blocks_of(input, *plan, bytes), plan->max_model_len);
  if (longest <= 0) {
    return {std::nullopt, "the model does not fit: " + plan->problems.front()};
  }
  return {
      longest,
      fmt::format("the context is SHORTENED from {} to {} tokens: the model's own needs {} of "
                  "KV cache on each GPU, and {} {} available (pin it with max_model_len)",
                  grouped(plan->max_model_len), grouped(longest), gib_text(plan->needed_kv),
                  gib_text(plan->shares.available_kv), margin == 0 ? "is" : "is estimated to be")};
}

std::string learned_flags(const EngineFlags& flags, const BatchSizes& sizes) {
  return fmt::format(
      "tp={} pp={} dtype={} quantization={} kv={} seqs={} batched={} eager={} offload={} mtp={}",
      flags.tensor_parallel(), flags.pipeline_parallel_size, flags.dtype, flags.quantization,
      flags.kv_cache_dtype, sizes.max_num_seqs, sizes.max_num_batched_tokens,
      flags.enforce_eager ? 1 : 0, flags.cpu_offload, flags.mtp_tokens);
}

}  // namespace batchproxy
