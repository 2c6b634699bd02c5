// backends/sim/api/adapters.cc - see adapters.h.
#include "backends/sim/api/adapters.h"

#include <algorithm>

#include "backends/sim/api/request_fields.h"

namespace batchproxy::sim {

std::string Adapters::load(const boost::json::object& body) {
  const std::string name = string_field(body, "lora_name").value_or("");
  const std::string path = string_field(body, "lora_path").value_or("");
  if (name.empty() || path.empty()) {
    throw ApiError(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.");
  }
  const auto known = std::ranges::find(adapters_, name, &Adapter::name);
  if (known == adapters_.end()) {
    adapters_.push_back({name, path});
  } else if (bool_field(body, "load_inplace")) {
    known->path = path;
  } else {
    throw ApiError(400, "InvalidUserInput",
                   "The lora adapter '" + name +
                       "' has already been loaded. If you want to load the adapter in place, set "
                       "'load_inplace' to True.");
  }
  return "Success: LoRA adapter '" + name + "' added successfully.";
}

std::string Adapters::unload(const boost::json::object& body) {
  const std::string name = string_field(body, "lora_name").value_or("");
  if (name.empty()) {
    throw ApiError(400, "InvalidUserInput",
                   "'lora_name' needs to be provided to unload a LoRA adapter.");
  }
  if (std::erase_if(adapters_, [&](const Adapter& one) { return one.name == name; }) == 0) {
    throw ApiError(404, "NotFoundError", "The lora adapter '" + name + "' cannot be found.");
  }
  return "Success: LoRA adapter '" + name + "' removed successfully.";
}

bool Adapters::has(std::string_view name) const {
  return std::ranges::find(adapters_, name, &Adapter::name) != adapters_.end();
}

}  // namespace batchproxy::sim
