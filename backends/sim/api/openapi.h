// backends/sim/api/openapi.h - the /openapi.json page: which endpoints there are, and which fields
// the generation endpoints know. Clients look here before they rely on a newer field.
//
// Threading: pure function.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace batchproxy::sim {

struct RouteName {
  std::string_view method;
  std::string_view path;
};

// `token_ids`: whether `return_token_ids` is among the fields.
std::string openapi_page(std::span<const RouteName> routes, bool token_ids);

}  // namespace batchproxy::sim
