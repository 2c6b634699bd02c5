// launcher/memory/learned/engine_budget.cc - the sentences of vLLM's log that tell sizes.
#include "launcher/memory/learned/engine_budget.h"

#include <algorithm>
#include <charconv>

#include "launcher/memory/model/memory_size.h"

namespace batchproxy {
namespace {

constexpr std::size_t kLongestLine = 4096;  // what is longer is a dump of the configuration

bool is_of_number(char c) {
  return (c >= '0' && c <= '9') || c == '.' || c == ',' || c == '-';
}

// "476,016" at the beginning of `text`.
std::optional<double> number_at(std::string_view text) {
  std::string digits;
  for (const char c : text) {
    if (!is_of_number(c) || digits.size() > 20) break;
    if (c != ',') digits += c;
  }
  while (!digits.empty() && digits.back() == '.') digits.pop_back();
  double number = 0;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, number);
  if (error != std::errc() || end != last || !(number > -1e15 && number < 1e15)) {
    return std::nullopt;
  }
  return number;
}

std::optional<double> number_after(std::string_view line, std::string_view mark) {
  const std::size_t at = line.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  return number_at(line.substr(at + mark.size()));
}

std::optional<double> number_before(std::string_view line, std::string_view mark) {
  const std::size_t at = line.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t begin = at;
  while (begin > 0 && is_of_number(line[begin - 1])) --begin;
  return number_at(line.substr(begin, at - begin));
}

void set(std::optional<std::int64_t>& fact, std::optional<double> gib) {
  if (gib) fact = from_gib(*gib);
}

void set_most(std::optional<std::int64_t>& fact, std::optional<double> gib) {
  if (gib) fact = std::max(fact.value_or(0), from_gib(*gib));
}

// V0: "model weights take 14.96GiB; non_torch_memory takes 0.10GiB; PyTorch activation peak memory
// takes 9.37GiB; the rest of the memory reserved for KV Cache is 11.12GiB."
void read_v0(std::string_view line, EngineBudget& budget) {
  set(budget.weights, number_after(line, "model weights take "));
  set(budget.non_torch, number_after(line, "non_torch_memory takes "));
  set(budget.activation, number_after(line, "activation peak memory takes "));
  set(budget.available_kv, number_after(line, "reserved for KV Cache is "));
}

// "Free memory on device (78.6/79.19 GiB) on startup. Desired GPU memory utilization is (0.92,
// 72.86 GiB). Actual usage is 15.3 GiB for consumed memory (weights + non-torch), 1.9 GiB for peak
// activation, and 0.8 GiB for CUDAGraph memory. ..." Older ones name weights and non-torch apart.
void read_budget_line(std::string_view line, EngineBudget& budget) {
  if (const std::size_t slash = line.find('/', line.find("Free memory on device"));
      slash != std::string_view::npos) {
    set(budget.total, number_at(line.substr(slash + 1)));
  }
  set(budget.requested, number_before(line, " GiB). Actual usage is "));
  set(budget.activation, number_before(line, " GiB for peak activation"));
  set(budget.graphs, number_before(line, " GiB for CUDAGraph memory"));
  set(budget.non_torch, number_before(line, " GiB for non-torch memory"));
  set(budget.weights, number_before(line, " GiB for weight,"));
  if (const auto consumed = number_before(line, " GiB for consumed memory");
      consumed && budget.weights) {
    budget.non_torch = std::max<std::int64_t>(0, from_gib(*consumed) - *budget.weights);
  }
}

void read_tokens(std::string_view line, EngineBudget& budget) {
  if (const auto tokens = number_after(line, "KV cache size: ")) {
    budget.kv_tokens = static_cast<std::int64_t>(*tokens);
  }
  if (const auto length = number_after(line, "Maximum concurrency for ")) {
    budget.max_model_len = static_cast<std::int64_t>(*length);
    budget.max_concurrency = number_after(line, "tokens per request: ");
  }
}

}  // namespace

void BudgetReader::read_line(std::string_view line) {
  if (line.size() > kLongestLine) line = line.substr(0, kLongestLine);
  // Each wanted line has one of these words; almost no other has.
  if (line.find("GiB") == std::string_view::npos && line.find("tokens") == std::string_view::npos &&
      line.find(" GB") == std::string_view::npos) {
    return;
  }
  if (line.find("Actual usage is ") != std::string_view::npos) {
    return read_budget_line(line, budget_);
  }
  if (line.find("model weights take ") != std::string_view::npos) return read_v0(line, budget_);
  set_most(budget_.weights, number_after(line, "Model loading took "));
  set_most(budget_.weights, number_after(line, "Loading model weights took "));
  if (const auto available = number_after(line, "Available KV cache memory: ")) {
    const std::int64_t bytes = from_gib(*available);
    budget_.available_kv = std::min(budget_.available_kv.value_or(bytes), bytes);
  }
  set_most(budget_.graphs, number_after(line, "Estimated CUDA graph memory: "));
  if (line.find("Memory profiling takes ") != std::string_view::npos) {
    set(budget_.activation, number_after(line, "torch peak memory increase: "));
    set(budget_.non_torch, number_after(line, "non-torch forward increase memory: "));
    set(budget_.weights, number_after(line, "weights memory: "));
  }
  read_tokens(line, budget_);
}

}  // namespace batchproxy
