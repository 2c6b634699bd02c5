// tests/launcher/memory/kv_cases_test.cc - the plan against what engines have printed.
//
// data/kv_cases.json has a row for each published log: the model's sizes, the engine's flags, and
// what it said. docs/MEMORY.md holds the table of errors; UPDATE_GOLDEN=1 rewrites it.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "launcher/memory/memory_plan.h"

namespace batchproxy {
namespace {

namespace json = boost::json;

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

struct KvCase {
  std::string id;
  PlanInput input;
  bool is_dense = true;
  std::optional<double> weights_gib, available_gib, tokens, concurrency;
};

std::optional<double> number(const json::object& row, const char* name) {
  const json::value* value = row.if_contains(name);
  if (value == nullptr) return std::nullopt;
  return value->to_number<double>();
}

std::optional<std::int64_t> integer(const json::object& row, const char* name) {
  const auto value = number(row, name);
  if (!value) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::string word(const json::object& row, const char* name) {
  const json::value* value = row.if_contains(name);
  return value == nullptr ? "" : std::string(value->as_string());
}

KvCase kv_case(const json::object& row) {
  KvCase each;
  each.id = word(row, "id");
  const auto shape = read_model_shape({each.id, json::serialize(row.at("config"))});
  if (!shape) throw std::runtime_error(shape.error().reason);
  each.input.shape = *shape;
  each.is_dense = !shape->is_moe && !shape->is_hybrid();
  EngineFlags& flags = each.input.flags;
  flags.version = *parse_version(word(row, "version"));
  flags.tensor_parallel_size = integer(row, "tp");
  flags.gpu_memory_utilization = number(row, "utilization");
  flags.max_model_len = integer(row, "max_model_len");
  flags.max_num_seqs = integer(row, "max_num_seqs");
  flags.max_num_batched_tokens = integer(row, "max_num_batched_tokens");
  flags.kv_cache_dtype = word(row, "kv_cache_dtype");
  flags.dtype = word(row, "dtype");
  if (row.if_contains("prefix_caching") != nullptr) flags.enable_prefix_caching = false;
  each.input.gpu.name = word(row, "gpu");
  each.input.gpu.total = from_gib(number(row, "total_gib").value_or(0));
  each.input.gpu.free = each.input.gpu.total;
  each.weights_gib = number(row, "weights_gib");
  each.available_gib = number(row, "available_kv_gib");
  each.tokens = number(row, "tokens");
  each.concurrency = number(row, "concurrency");
  return each;
}

std::vector<KvCase> all_cases() {
  const std::string path =
      std::string(BATCHPROXY_SOURCE_DIR) + "/tests/launcher/memory/kv_cases.json";
  std::vector<KvCase> cases;
  const json::value rows = json::parse(text_of(path));
  for (const json::value& row : rows.as_array()) cases.push_back(kv_case(row.as_object()));
  return cases;
}

// The plan where the logged memory of the KV cache is given.
MemoryPlan plan_given_cache(const KvCase& each) {
  PlanInput input = each.input;
  input.flags.kv_cache_memory = from_gib(*each.available_gib);
  const auto plan = plan_memory(input);
  if (!plan) throw std::runtime_error(each.id + ": " + plan.error().reason);
  return *plan;
}

// The KV cache's GiB where the logged weights are given.
double planned_gib(const KvCase& each) {
  PlanInput input = each.input;
  input.weights_per_gpu = from_gib(*each.weights_gib);
  const auto plan = plan_memory(input);
  if (!plan) throw std::runtime_error(each.id + ": " + plan.error().reason);
  return to_gib(plan->shares.available_kv);
}

bool has_budget(const KvCase& each) {
  return each.weights_gib && each.available_gib && each.input.gpu.total > 0 &&
         each.input.flags.gpu_memory_utilization;
}

double percent(double planned, double logged) {
  return 100 * (planned - logged) / logged;
}

TEST(KvCases, GivenTheCacheTheTokensAreThoseThatTheEnginePrinted) {
  int checked = 0;
  for (const KvCase& each : all_cases()) {
    if (!each.available_gib || !each.tokens) continue;
    const double planned = static_cast<double>(plan_given_cache(each).kv_tokens);
    const double bound = each.input.flags.gpus() == 1 ? 0.2 : 1.5;
    EXPECT_LE(std::fabs(percent(planned, *each.tokens)), bound) << each.id << ": " << planned;
    ++checked;
  }
  EXPECT_GE(checked, 40);
}

TEST(KvCases, GivenTheCacheTheConcurrencyIsThatWhichTheEnginePrinted) {
  int checked = 0;
  for (const KvCase& each : all_cases()) {
    if (!each.available_gib || !each.concurrency) continue;
    const double planned = plan_given_cache(each).max_concurrency;
    EXPECT_LE(std::fabs(percent(planned, *each.concurrency)), 0.5) << each.id << ": " << planned;
    ++checked;
  }
  EXPECT_GE(checked, 35);
}

TEST(KvCases, GivenTheWeightsTheCacheIsNearThatWhichTheEngineHad) {
  int checked = 0;
  int near = 0;
  for (const KvCase& each : all_cases()) {
    if (!has_budget(each) || !each.is_dense) continue;
    const double planned = planned_gib(each);
    const double error = std::fabs(planned - *each.available_gib);
    ++checked;
    if (error <= std::max(1.5, 0.05 * *each.available_gib)) {
      ++near;
    } else {
      std::printf("%s: planned %.2f, logged %.2f\n", each.id.c_str(), planned, *each.available_gib);
    }
  }
  EXPECT_GE(checked, 25);
  EXPECT_GE(near * 10, checked * 9) << near << " of " << checked;
}

std::string error_table() {
  std::string table =
      "| model, flags | vLLM | KV cache GiB, logged | tokens, logged | tokens, planned | error | "
      "KV cache GiB, planned | error |\n|---|---|---|---|---|---|---|---|\n";
  for (const KvCase& each : all_cases()) {
    if (!each.available_gib) continue;
    const auto planned = static_cast<double>(plan_given_cache(each).kv_tokens);
    const auto& version = each.input.flags.version;
    table += fmt::format("| {} | {}.{} | {:.2f} | ", each.id, version.major, version.minor,
                         *each.available_gib);
    table += each.tokens ? fmt::format("{:.0f} | {:.0f} | {:+.3f} % | ", *each.tokens, planned,
                                       percent(planned, *each.tokens))
                         : fmt::format("- | {:.0f} | - | ", planned);
    table += has_budget(each) ? fmt::format("{:.2f} | {:+.2f} GiB |\n", planned_gib(each),
                                            planned_gib(each) - *each.available_gib)
                              : "- | - |\n";
  }
  return table;
}

TEST(KvCases, TheTableInTheDocsIsTheMeasuredOne) {
  const std::string path = std::string(BATCHPROXY_SOURCE_DIR) + "/docs/MEMORY.md";
  std::string docs = text_of(path);
  const std::size_t begin = docs.find("| model, flags |");
  const std::size_t end = docs.find("\n\n", begin);
  ASSERT_NE(begin, std::string::npos);
  if (std::getenv("UPDATE_GOLDEN") != nullptr) {
    docs.replace(begin, end + 1 - begin, error_table());
    std::ofstream(path) << docs;
    return;
  }
  EXPECT_EQ(docs.substr(begin, end + 1 - begin), error_table()) << "UPDATE_GOLDEN=1 rewrites it";
}

}  // namespace
}  // namespace batchproxy
