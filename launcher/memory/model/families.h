// launcher/memory/model/families.h - the families of models whose caches are known, one row each.
//
// To add one, add its row to the table in families.cc: its model_type and the function that reads
// its layers; or a row with the reason why there is no formula.
//
// Threading: pure functions, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "launcher/memory/model/config_json.h"
#include "launcher/memory/model/model_shape.h"

namespace batchproxy {

// Fills the caches of a shape whose plain keys are read. May set the config's fault.
using ReadCaches = void (*)(const ConfigObject& config, ModelShape& shape);

// What transformers takes where the file leaves a key out; 0 where the key is always written.
struct FamilyDefaults {
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t vocabulary = 0;
  std::int64_t positions = 0;
};

struct Family {
  std::string_view name;  // a model_type
  ReadCaches read = nullptr;
  std::string_view no_formula{};  // why not, if there is nothing to read with
  FamilyDefaults defaults{};
};

// The row of that model_type, or null.
const Family* find_family(std::string_view model_type);

// The model_type that an architecture's name stands for ("LlamaForCausalLM": "llama"), for files
// without one; empty if it is not known.
std::string_view family_of_architecture(std::string_view architecture);

}  // namespace batchproxy
