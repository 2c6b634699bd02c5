// launcher/memory/learned/engine_budget.h - what an engine's log says that it did with its GPUs'
// memory.
//
//   BudgetReader reader;
//   for (each line of the log of one start) reader.read_line(line);
//   const EngineBudget budget = reader.budget();
//
// Understands vLLM's texts from 0.6 to 0.33, with or without their prefixes.
//
// Threading: confined to one thread; no I/O. A line is looked at and not kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace batchproxy {

// Bytes per GPU; nothing where no line told. Of several ranks the one with the least for its cache
// counts, which limits all of them.
struct EngineBudget {
  std::optional<std::int64_t> total;
  std::optional<std::int64_t> requested;  // of gpu_memory_utilization
  std::optional<std::int64_t> weights;
  std::optional<std::int64_t> activation;
  std::optional<std::int64_t> non_torch;
  std::optional<std::int64_t> graphs;        // as estimated before the cache, else as captured
  std::optional<std::int64_t> available_kv;  // absent with --kv-cache-memory

  std::optional<std::int64_t> kv_tokens;  // as printed: of newer versions, concurrency x length
  std::optional<std::int64_t> max_model_len;
  std::optional<double> max_concurrency;

  bool tells_something() const { return weights || available_kv || kv_tokens; }
  friend bool operator==(const EngineBudget&, const EngineBudget&) = default;
};

class BudgetReader {
 public:
  void read_line(std::string_view line);
  const EngineBudget& budget() const { return budget_; }

 private:
  EngineBudget budget_;
};

}  // namespace batchproxy
