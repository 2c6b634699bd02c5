// backends/sim/api/adapters.h - Adapters: the LoRA adapters that a simulated engine has been told
// to load. They are names: the engine answers under each as under its own.
//
// Threading: confined to the server.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

namespace batchproxy::sim {

class Adapters {
 public:
  struct Adapter {
    std::string name;
    std::string path;
  };

  // As vLLM's /v1/load_lora_adapter and /v1/unload_lora_adapter: what it says, or ApiError.
  std::string load(const boost::json::object& body);
  std::string unload(const boost::json::object& body);

  bool has(std::string_view name) const;
  const std::vector<Adapter>& all() const { return adapters_; }

 private:
  std::vector<Adapter> adapters_;  // in the order in which they were loaded
};

}  // namespace batchproxy::sim
