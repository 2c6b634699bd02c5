// proxy/metrics/model_tally.h - ModelTally: what one I/O thread counts by model.
//
// Names come from clients, who could make up any number of them: only a request that has a backend
// gets a name of its own, and there is room for so many. All others share one.
//
// Threading: counts and grows on one thread; any thread may read what is there, and the names in it
// for as long as it lives.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "proxy/metrics/metrics.h"

namespace batchproxy {

struct ModelCounts : ModelMetrics {
  std::string name;
};

class ModelTally {
 public:
  static constexpr std::size_t kMost = 256;    // models, with the others
  static constexpr std::size_t kLongest = 256;  // bytes; of a longer name this beginning is kept
  static constexpr std::string_view kOthers = "(others)";

  ModelTally();

  // Of a request that `name` has led to a backend. Null for an empty name. Nearly always it is that
  // of the last call, and nothing is looked up.
  ModelCounts* of(std::string_view name);
  ModelCounts* others() { return counts_.get(); }

  // Calls visit(counts) for each. Threading: any thread.
  template <class Visit>
  void for_each(Visit visit) const {
    const std::size_t used = used_.load(std::memory_order_acquire);
    for (std::size_t i = 0; i < used; ++i) visit(static_cast<const ModelCounts&>(counts_[i]));
  }

 private:
  const std::unique_ptr<ModelCounts[]> counts_;  // the first is that of the others
  std::atomic<std::size_t> used_{1};
  std::map<std::string_view, ModelCounts*, std::less<>> by_name_;
  ModelCounts* last_ = nullptr;
};

}  // namespace batchproxy
