// bench/policy/words.cc - see words.h.
#include "bench/policy/words.h"

#include <algorithm>

#include <fmt/format.h>

namespace batchproxy::bench {

namespace {

// What the words of a situation and of a way of sending mean.
struct WorkloadMeaning {
  Workload workload;
  std::string_view text;
};
constexpr WorkloadMeaning kWorkloadMeanings[] = {
    {Workload::kChoices, "multiple choice: 1,500 tokens asked, 1 to 16 answered"},
    {Workload::kOneToken, "multiple choice, 1 token answered"},
    {Workload::kGeneration, "free text: 800 tokens asked, about 150 answered"},
    {Workload::kMixed, "four of mcqa to one of gen"},
    {Workload::kShort, "128 to 159 tokens asked, 1 answered"},
    {Workload::kLongGeneration, "300 tokens asked, about 600 answered"},
};
struct PolicyMeaning {
  Policy policy;
  std::string_view text;
};
constexpr PolicyMeaning kPolicyMeanings[] = {
    {Policy::kDefault, "batchproxy as it is"},
    {Policy::kPassThrough, "all at once, each request to the engine with the fewest in flight"},
    {Policy::kFixed, "the classic collector: a batch leaves with 16 requests or after 0.5 s"},
    {Policy::kNoAffinity, "batchproxy, but questions on one passage go to any engine"},
    {Policy::kMergeOff, "batchproxy, but each request is a call of its own"},
    {Policy::kMergeAlways, "batchproxy, but requests share calls whether that helps or not"},
    {Policy::kRoundRobin, "a plain router: the engines in turn"},
    {Policy::kLeastOutstanding, "a plain router: the engine with the fewest in flight"},
    {Policy::kSingleHome, "a plain router: each passage has one engine"},
    {Policy::kCacheAware, "the rule `cache_aware` of sglang-router and SMG"},
    {Policy::kPrefixHash, "the rule `prefix_hash` of SMG"},
};

// "A100, 4 x TP2": the engines.
std::string engines_name(const WorldOptions& world) {
  return fmt::format("{}, {} x TP{}", card_name(world.gpu), world.servers, world.tensor_parallel);
}

// "mcqa, 4 to a passage", and what is unusual about the requests.
std::string workload_name(const Cell& cell) {
  if (cell.asked) return cell.asked_name;
  const WorkloadOptions& work = cell.workload;
  std::string name(name_of(work.kind));
  if (work.most_sharing > work.sharing) {
    name += fmt::format(", {} to {} to a passage", work.sharing, work.most_sharing);
  } else if (work.sharing > 1) {
    name += fmt::format(", {} to a passage", work.sharing);
  }
  if (work.window == 1) {
    name += ", in order";
  } else if (work.window == work.count) {
    name += ", all mixed";
  } else if (work.window != WorkloadOptions{}.window) {
    name += fmt::format(", mixed within {}", work.window);
  }
  if (work.beside) name += fmt::format(", beside {}", name_of(*work.beside));
  if (work.passage_tokens != 0) name += fmt::format(", passages of {} tokens", work.passage_tokens);
  if (work.output_tokens != 0) name += fmt::format(", {} tokens answered", work.output_tokens);
  return name;
}

// What is unusual about engines and workers; begins with a comma.
std::string world_remarks(const WorldOptions& world) {
  std::string text;
  if (world.kv_share != 1) text += fmt::format(", caches of {} of their size", world.kv_share);
  if (world.slowdown != 1) {
    text += fmt::format(", {} engine{} {} times as slow", world.slow_servers,
                        world.slow_servers == 1 ? "" : "s", world.slowdown);
  }
  if (world.think_seconds != 0) text += fmt::format(", workers think {} s", world.think_seconds);
  if (world.front_end.per_call != sim::FrontEndCosts{}.per_call) {
    text += fmt::format(", {} ms for each HTTP call", 1e3 * world.front_end.per_call);
  }
  return text;
}

bool has_workload(std::span<const Row> rows, Workload workload) {
  return std::ranges::any_of(rows, [workload](const Row& row) {
    const WorkloadOptions& work = row.cell.workload;
    return !row.cell.asked && (work.kind == workload || work.beside == workload);
  });
}

}  // namespace

std::string card_name(sim::Gpu gpu) {
  return gpu == sim::Gpu::kA100 ? "A100" : "H100";
}

std::string name_of(const Cell& cell) {
  return fmt::format("{}, {}, {} worker{}{}", engines_name(cell.world), workload_name(cell),
                     cell.world.workers, cell.world.workers == 1 ? "" : "s",
                     world_remarks(cell.world));
}

std::string legend_of(std::span<const Row> rows) {
  std::string text =
      "- 4 x TP2: four engines, each over two GPUs. Workers: so many, each with one request at a "
      "time.\n"
      "- prefix hits: of the prompts' tokens, found in the engines' caches. Prompts a call: more "
      "than 1 where\n  requests shared one.\n"
      "- the bound: what no way of sending could exceed on these engines. It takes all steps of an "
      "engine to be\n  alike, so it is good to some percent.\n";
  for (const PolicyMeaning& meaning : kPolicyMeanings) {
    const auto has_policy = [&](const Row& row) { return row.policy == meaning.policy; };
    if (!std::ranges::any_of(rows, has_policy)) continue;
    text += fmt::format("- {}: {}\n", name_of(meaning.policy), meaning.text);
  }
  for (const auto& [workload, meaning] : kWorkloadMeanings) {
    if (has_workload(rows, workload)) text += fmt::format("- {}: {}\n", name_of(workload), meaning);
  }
  return text;
}

}  // namespace batchproxy::bench
