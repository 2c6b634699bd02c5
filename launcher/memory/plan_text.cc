// launcher/memory/plan_text.cc - see plan_text.h.
#include "launcher/memory/plan_text.h"

#include <algorithm>
#include <cmath>
#include <variant>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace batchproxy {
namespace {

std::string gpus_text(const PlanReport& report) {
  const PlanGpu& gpu = report.plan.gpu;
  if (report.group.indices.empty()) return "none known";
  return fmt::format("{} of {}: {}{}{}, at least {} free of {}", report.group.indices.size(),
                     report.gpus_at_hand, fmt::join(report.group.indices, ","),
                     gpu.name.empty() ? "" : " " + gpu.name,
                     report.group.is_linked && report.group.indices.size() > 1 ? ", NVLink" : "",
                     gib_text(gpu.free), gib_text(gpu.total));
}

std::string row(std::string_view name, const std::string& value) {
  return fmt::format("  {:<24}{}\n", name, value);
}

std::string shares_text(const MemoryPlan& plan) {
  const GpuShares& shares = plan.shares;
  const auto size = [](std::int64_t bytes) { return fmt::format("{:>10}", gib_text(bytes)); };
  std::string text = "Per GPU\n";
  text += row("weights", plan.knows_weights ? size(shares.weights) : "   unknown");
  text += row("activations", size(shares.activation));
  text += row("libraries", size(shares.non_torch));
  text += row("CUDA graphs",
              size(shares.graphs) + (shares.graphs_are_inside ? "" : ", beside what it asks for"));
  text += row("KV cache", size(shares.available_kv));
  text += row("asked for", size(shares.requested));
  text += row("CUDA context", size(shares.context) + ", beside it");
  text += row("left beside it", size(shares.left) + ", for training, say");
  return text;
}

std::string cache_text(const PlanReport& report) {
  const MemoryPlan& plan = report.plan;
  std::string text = "KV cache\n";
  text += row("of a token", fmt::format("{} bytes per GPU", grouped(plan.kv_bytes_per_token)));
  text +=
      row("blocks", fmt::format("{} of {} tokens", grouped(plan.blocks), plan.layout.block_size));
  text += row("tokens", plan.printed_tokens == plan.kv_tokens
                            ? grouped(plan.kv_tokens)
                            : fmt::format("{}, which the engine prints as {}",
                                          grouped(plan.kv_tokens), grouped(plan.printed_tokens)));
  text +=
      row("context", fmt::format("{}{}, needs {}", grouped(plan.max_model_len),
                                 report.shortened_from > 0
                                     ? " (shortened from " + grouped(report.shortened_from) + ")"
                                     : "",
                                 gib_text(plan.needed_kv)));
  text += row("longest that fits", grouped(plan.longest_context));
  text += row("requests of it at once", fmt::format("{:.2f}", plan.max_concurrency));
  return text;
}

// The largest of them: a mixture of experts has hundreds.
std::string large_text(const std::vector<LargeTensor>& tensors) {
  constexpr std::size_t kMost = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(kMost, tensors.size()); ++i) {
    text += fmt::format("large: {}, {}: {}\n", tensors[i].name, gib_text(tensors[i].bytes),
                        tensors[i].place);
  }
  if (tensors.size() > kMost) {
    text += fmt::format("large: {} more, {} and less each\n", tensors.size() - kMost,
                        gib_text(tensors[kMost].bytes));
  }
  return text;
}

// What an earlier start has told.
std::string learned_text(const EngineBudget& budget) {
  std::string text = "An earlier start of this engine told\n";
  const auto add = [&text](std::string_view name, const std::optional<std::int64_t>& bytes) {
    if (bytes) text += row(name, fmt::format("{:>10}", gib_text(*bytes)));
  };
  add("weights", budget.weights);
  add("activations", budget.activation);
  add("libraries", budget.non_torch);
  add("CUDA graphs", budget.graphs);
  add("KV cache", budget.available_kv);
  if (budget.kv_tokens) text += row("tokens", grouped(*budget.kv_tokens));
  return text;
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.4f}", value) : "null";
}

std::string notes_text(const PlanReport& report) {
  std::string text;
  for (const std::string& note : report.notes) text += "note: " + note + "\n";
  return text;
}

std::string quoted(const std::string& text) {
  return boost::json::serialize(boost::json::string(text.data(), text.size()));
}

std::string quoted_list(const std::vector<std::string>& texts) {
  std::vector<std::string> items;
  for (const std::string& text : texts) items.push_back(quoted(text));
  return fmt::format("[{}]", fmt::join(items, ", "));
}

std::string suggestion_json(const Suggestion& suggestion) {
  return fmt::format(
      "{{\"flag\": {}, \"text\": {}, \"max_model_len\": {}, \"available_kv_gib\": {}, "
      "\"needed_kv_gib\": {}, \"longest_context\": {}, \"max_concurrency\": {}}}",
      quoted(suggestion.flag), quoted(describe(suggestion)), suggestion.max_model_len,
      number(to_gib(suggestion.available_kv)), number(to_gib(suggestion.needed_kv)),
      suggestion.longest_context, number(suggestion.max_concurrency));
}

std::string argument_json(const PlannedArgument& each) {
  const auto* value = std::get_if<std::string>(&each.argument.value);
  return fmt::format("{{\"argument\": {}, \"value\": {}, \"text\": {}}}",
                     quoted(each.argument.name), quoted(value == nullptr ? "" : *value),
                     quoted(each.sentence));
}

std::string per_gpu_json(const MemoryPlan& plan) {
  const GpuShares& shares = plan.shares;
  return fmt::format(
      "{{\"weights_gib\": {}, \"activation_gib\": {}, \"overhead_gib\": {}, "
      "\"available_kv_gib\": {}, \"kv_bytes_per_token\": {}, \"kv_tokens\": {}, "
      "\"printed_tokens\": "
      "{}, "
      "\"requested_gib\": {}, \"graphs_gib\": {}, \"context_gib\": {}, \"left_gib\": {}}}",
      plan.knows_weights ? number(to_gib(shares.weights)) : "null",
      number(to_gib(shares.activation)), number(to_gib(shares.overhead())),
      number(to_gib(shares.available_kv)), plan.kv_bytes_per_token, plan.kv_tokens,
      plan.printed_tokens, number(to_gib(shares.requested)), number(to_gib(shares.graphs)),
      number(to_gib(shares.context)), number(to_gib(shares.left)));
}

}  // namespace

std::string plan_text(const PlanReport& report) {
  if (!report.not_planned.empty()) {
    return fmt::format("{}: not planned: {}\n{}{}", report.model, report.not_planned,
                       report.learned ? learned_text(*report.learned) : "", notes_text(report));
  }
  const MemoryPlan& plan = report.plan;
  std::string text = fmt::format(
      "{} ({}), tensor parallel {}, pipeline parallel {}, vLLM {}.{}\nGPUs: {}\n", report.model,
      report.family, report.flags.tensor_parallel(), report.flags.pipeline_parallel_size,
      report.flags.version.major, report.flags.version.minor, gpus_text(report));
  text += fmt::format("Tensor parallel sizes that the model allows: {}\n",
                      fmt::join(plan.allowed_tensor_parallel, ", "));
  text += shares_text(plan) + cache_text(report);
  text += large_text(plan.large_tensors);
  text += notes_text(report);
  text += plan.fits() ? "It fits.\n" : "It does NOT fit:\n";
  for (const std::string& problem : plan.problems) text += "  " + problem + "\n";
  if (!plan.fits()) {
    text += report.suggestions.empty() ? "No single change that is known here would do.\n"
                                       : "What would fit:\n";
  }
  for (std::size_t i = 0; i < report.suggestions.size(); ++i) {
    text += fmt::format("  {}. {}\n", i + 1, describe(report.suggestions[i]));
  }
  return text;
}

std::string plan_json(const PlanReport& report) {
  if (!report.not_planned.empty()) {
    return fmt::format("{{\"model\": {}, \"planned\": false, \"reason\": {}}}\n",
                       quoted(report.model), quoted(report.not_planned));
  }
  const MemoryPlan& plan = report.plan;
  std::vector<std::string> suggestions;
  for (const Suggestion& each : report.suggestions) suggestions.push_back(suggestion_json(each));
  std::vector<std::string> set;
  for (const PlannedArgument& each : report.set) set.push_back(argument_json(each));
  std::vector<std::string> tensors;
  for (const LargeTensor& tensor : plan.large_tensors) {
    tensors.push_back(fmt::format("{{\"name\": {}, \"gib\": {}, \"place\": {}}}",
                                  quoted(tensor.name), number(to_gib(tensor.bytes)),
                                  quoted(tensor.place)));
  }
  return fmt::format(
      "{{\"model\": {}, \"planned\": true, \"family\": {},\n"
      " \"fits\": {}, \"max_model_len\": {}, \"max_concurrency\": {}, "
      "\"tensor_parallel_size\": {}, \"pipeline_parallel_size\": {},\n"
      " \"per_gpu\": {},\n"
      " \"gpus\": [{}], \"longest_context\": {}, \"needed_kv_gib\": {}, \"max_num_seqs\": {}, "
      "\"max_num_batched_tokens\": {},\n"
      " \"shortened_from\": {}, \"learned\": {}, \"allowed_tensor_parallel\": [{}],\n"
      " \"set\": [{}], \"problems\": {}, \"notes\": {},\n"
      " \"large_tensors\": [{}],\n"
      " \"suggestions\": [{}]}}\n",
      quoted(report.model), quoted(report.family), plan.fits(), plan.max_model_len,
      number(plan.max_concurrency), report.flags.tensor_parallel(),
      report.flags.pipeline_parallel_size, per_gpu_json(plan),
      fmt::join(report.group.indices, ", "), plan.longest_context, number(to_gib(plan.needed_kv)),
      plan.sizes.max_num_seqs, plan.sizes.max_num_batched_tokens,
      report.shortened_from > 0 ? std::to_string(report.shortened_from) : "null", plan.is_learned,
      fmt::join(plan.allowed_tensor_parallel, ", "), fmt::join(set, ", "),
      quoted_list(plan.problems), quoted_list(report.notes), fmt::join(tensors, ", "),
      fmt::join(suggestions, ", "));
}

}  // namespace batchproxy
