// proxy/admin/adapter_report.h - what an operator asks of all engines about a LoRA adapter, and
// what has come of it, engine by engine.
//
// Threading: pure functions and values, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/call/engine_post.h"
#include "batcher/base/error.h"

namespace batchproxy {

// The paths are vLLM's own.
inline constexpr std::string_view kLoadAdapter = "/v1/load_lora_adapter";
inline constexpr std::string_view kUnloadAdapter = "/v1/unload_lora_adapter";

struct AdapterOrder {
  bool load = false;  // or unload
  std::string name;   // of the adapter
  std::string json;   // the body, for the engines to read

  std::string_view path() const { return load ? kLoadAdapter : kUnloadAdapter; }
};

// The order in a POST to an adapter path. It needs `lora_name`; the rest is the engines' business.
Result<AdapterOrder> read_adapter_order(std::string_view path, std::string json);

// The outcome of the order at one engine.
struct AdapterOutcome {
  enum class Kind { kDone, kFailed, kNotUp, kCount };  // not up: it has not been asked

  std::string backend;
  Kind kind = Kind::kFailed;
  unsigned status = 0;  // of its answer; 0: none
  std::string message;
};

// An engine that had the adapter already has done it, and so has one that was to forget an adapter
// which it has not: so an order can be given again until all have done it.
AdapterOutcome outcome_of(const AdapterOrder& order, std::string backend, const EngineReply& reply);
AdapterOutcome not_up(std::string backend, std::string_view why);

struct AdapterReport {
  AdapterOrder order;
  std::vector<AdapterOutcome> outcomes;

  std::size_t count(AdapterOutcome::Kind kind) const;
  // 200 when all that are up have done it, 502 when one has not, 503 when none is up.
  unsigned status() const;
  std::string summary() const;  // for people: what has come of it, and what to do
  std::string to_json() const;
};

}  // namespace batchproxy
