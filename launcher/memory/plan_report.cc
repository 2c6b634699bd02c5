// launcher/memory/plan_report.cc - chooses GPUs, plans, and says what is noteworthy.
#include "launcher/memory/plan_report.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "launcher/process/run_separator.h"

namespace batchproxy {
namespace {

// A context that is worth starting an engine for, if the user did not ask for one.
constexpr std::int64_t kWorthwhile = 4096;

LearnedKey learned_key(const PlanWish& wish, const EngineFlags& flags, const PlanGpu& gpu) {
  return {wish.model, gpu.name, fmt::format("{}.{}", flags.version.major, flags.version.minor),
          learned_flags(flags, batch_sizes(flags, gpu))};
}

std::optional<EngineBudget> learned_of(const PlanWish& wish, const LearnedKey& key) {
  const EngineBudget* learned = wish.learned.find(key);
  if (learned == nullptr) return std::nullopt;
  return *learned;
}

std::vector<PlannedArgument> arguments_to_set(const ContextChoice& choice, const MemoryPlan& plan) {
  std::vector<PlannedArgument> set;
  if (choice.max_model_len) {
    set.push_back({{"max_model_len", std::to_string(*choice.max_model_len)}, choice.sentence});
  }
  if (plan.limits_sequences) {
    set.push_back({{"max_num_seqs", std::to_string(plan.sizes.max_num_seqs)},
                   fmt::format("max_num_seqs is set to {}: each request takes a block of the "
                               "recurrent layers' states",
                               plan.sizes.max_num_seqs)});
  }
  return set;
}

// What can be said of an engine whose model cannot be planned.
PlanReport not_planned(const PlanWish& wish, const NotPlanned& why) {
  PlanReport report;
  report.model = wish.model;
  report.not_planned = why.reason;
  report.flags = wish.flags;
  report.gpus_at_hand = wish.pool.size();
  report.group = choose_gpus(wish.pool, static_cast<std::size_t>(wish.flags.gpus()), 0);
  report.key = learned_key(wish, wish.flags, report.group.least);
  report.learned = learned_of(wish, report.key);
  return report;
}

// Cuts a stream of bytes into lines. Of a line only its beginning is kept: what is longer than all
// that is looked for is a dump.
class LineSplitter {
 public:
  template <class Take>
  void feed(std::string_view bytes, Take&& take) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find_first_of("\r\n");
      const std::string_view part = bytes.substr(0, end);
      line_ += part.substr(0, kLongest - std::min(kLongest, line_.size()));
      if (end == std::string_view::npos) return;
      take(line_);
      line_.clear();
      bytes.remove_prefix(end + 1);
    }
  }

 private:
  static constexpr std::size_t kLongest = 4096;
  std::string line_;
};

class Planner {
 public:
  Planner(const PlanWish& wish, const ModelFiles& files, ModelShape shape)
      : wish_(wish), files_(files), shape_(std::move(shape)) {}

  // The input for that many GPUs in tensor parallel.
  PlanInput input_for(std::int64_t tensor_parallel) const {
    PlanInput input;
    input.shape = shape_;
    input.tensors = files_.tensors;
    input.checkpoint_bytes = files_.checkpoint_bytes;
    input.weights_per_gpu = wish_.weights_per_gpu;
    // Told without a number of GPUs, they are those of one.
    const bool is_of_one = !wish_.flags.tensor_parallel_size && !wish_.gpus;
    if (input.weights_per_gpu && is_of_one) *input.weights_per_gpu /= tensor_parallel;
    input.flags = wish_.flags;
    input.flags.tensor_parallel_size = tensor_parallel;
    input.gpu = group_for(input.flags).least;
    input.learned = learned_of(wish_, learned_key(wish_, input.flags, input.gpu));
    return input;
  }

  GpuGroup group_for(const EngineFlags& flags) const {
    if (wish_.pool.empty()) return {};
    const auto needed = static_cast<std::int64_t>(static_cast<double>(wish_.pool.front().total) *
                                                  utilization(flags));
    return choose_gpus(wish_.pool, static_cast<std::size_t>(flags.gpus()), needed);
  }

  // How many GPUs a stage gets.
  std::int64_t tensor_parallel() const {
    if (wish_.flags.tensor_parallel_size) return *wish_.flags.tensor_parallel_size;
    const std::int64_t stages = wish_.flags.pipeline_parallel_size * wish_.flags.data_parallel_size;
    const auto pool = static_cast<std::int64_t>(wish_.pool.size());
    const std::int64_t most = std::max<std::int64_t>(1, wish_.gpus.value_or(pool) / stages);
    const auto allowed = allowed_tensor_parallel(shape_, most);
    if (allowed.empty()) return 1;
    if (wish_.gpus) return allowed.back();
    // Other numbers work, but not with the fast ways in which GPUs exchange data.
    for (std::int64_t gpus = 1; gpus <= most; gpus *= 2) {
      const bool is_allowed = std::ranges::find(allowed, gpus) != allowed.end();
      if (is_allowed && holds_model(input_for(gpus))) return gpus;
    }
    return allowed.back();
  }

 private:
  static bool holds_model(const PlanInput& input) {
    const auto plan = plan_memory(input);
    if (!plan) return true;  // more GPUs make no difference
    const bool is_pinned = input.flags.max_model_len.has_value();
    const std::int64_t wanted =
        is_pinned ? plan->max_model_len : std::min(plan->max_model_len, kWorthwhile);
    return plan->longest_context >= wanted;
  }

  const PlanWish& wish_;
  const ModelFiles& files_;
  ModelShape shape_;
};

void note_gpus(const PlanWish& wish, PlanReport& report) {
  const auto wanted = report.flags.gpus();
  const auto at_hand = static_cast<std::int64_t>(wish.pool.size());
  if (at_hand > 0 && wanted > at_hand) {
    report.plan.problems.push_back(fmt::format("the engine takes {} GPUs, and there {} {}", wanted,
                                               at_hand == 1 ? "is" : "are", at_hand));
  }
  const std::int64_t asked = wish.gpus.value_or(wanted);
  if (asked > wanted) {
    report.notes.push_back(
        fmt::format("{} of the {} GPUs {} left over: the model can be shared out over {} GPUs",
                    asked - wanted, asked, asked - wanted == 1 ? "is" : "are",
                    fmt::join(report.plan.allowed_tensor_parallel, ", ")));
  }
}

void note_plan(PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  if (plan.is_learned) {
    report.notes.push_back("the sizes are those that an earlier start of this engine has told");
  }
  if (report.flags.enable_lora) {
    report.notes.push_back("adapters take memory, too, which is not counted here");
  }
  if (!plan.knows_weights) {
    report.notes.push_back("the weights' size is not known: only the KV cache is planned");
  }
}

}  // namespace

PlanReport plan_report(const PlanWish& wish, const ModelFiles& files) {
  const auto shape = read_model_shape(files.config, files.quantization);
  if (!shape) return not_planned(wish, shape.error());
  const Planner planner(wish, files, *shape);
  PlanInput input = planner.input_for(planner.tensor_parallel());
  PlanReport report;
  report.model = wish.model;
  report.gpus_at_hand = wish.pool.size();
  report.family = shape->family;
  report.group = planner.group_for(input.flags);
  report.key = learned_key(wish, input.flags, input.gpu);
  report.learned = input.learned;
  const ContextChoice choice = auto_context(input);
  if (choice.max_model_len) {
    report.shortened_from = shape->max_positions;
    input.flags.max_model_len = choice.max_model_len;
  }
  if (!choice.sentence.empty() && !choice.max_model_len) report.notes.push_back(choice.sentence);
  auto plan = plan_memory(input);
  if (!plan) return not_planned(wish, plan.error());
  report.plan = *std::move(plan);
  report.flags = input.flags;
  report.set = arguments_to_set(choice, report.plan);
  for (const PlannedArgument& each : report.set) report.notes.push_back(each.sentence);
  note_gpus(wish, report);
  note_plan(report);
  std::ranges::copy(files.warnings, std::back_inserter(report.notes));
  report.suggestions = suggest(input, static_cast<std::int64_t>(wish.pool.size()));
  return report;
}

PlanReport plan_model(const PlanWish& wish, const Environment& environment) {
  const auto directory = find_model(wish.model, environment);
  if (!directory) return not_planned(wish, directory.error());
  const auto files = read_model_files(*directory);
  if (!files) return not_planned(wish, files.error());
  return plan_report(wish, *files);
}

std::string learn_from_log(const std::string& learned_path, const PlanReport& report,
                           const std::string& log_path, std::uint64_t from) {
  std::ifstream log(log_path, std::ios::binary);
  if (!log || !log.seekg(static_cast<std::streamoff>(from))) {
    return log_path + " cannot be read, so nothing is learnt from it";
  }
  BudgetReader reader;
  LineSplitter lines;
  std::array<char, 65536> piece{};
  while (log.read(piece.data(), piece.size()), log.gcount() > 0) {
    lines.feed(std::string_view(piece.data(), static_cast<std::size_t>(log.gcount())),
               [&reader](std::string_view line) {
                 if (!run_in(line).empty()) reader = BudgetReader();  // a new run
                 reader.read_line(line);
               });
  }
  EngineBudget budget = reader.budget();
  if (!budget.tells_something()) return "";
  // Older engines do not print what was asked for; without it the cache cannot be moved later.
  if (budget.available_kv && !budget.requested && report.not_planned.empty()) {
    budget.requested = report.plan.shares.requested;
  }
  return learn(learned_path, report.key, budget);
}

}  // namespace batchproxy
