// configs/value_text.h - the value of a key as the file would have it; a list or mapping of
// ours has keys of its own instead.
//
// Threading: any thread; no state.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/schema/options.h"

namespace batchproxy {

std::string text_of(bool value);
std::string text_of(std::int64_t value);
std::string text_of(double value);
std::string text_of(Seconds value);
std::string text_of(const std::string& value);
std::string text_of(const std::vector<std::string>& value);
std::string text_of(const Arguments& value);
std::string text_of(const std::vector<BackendOptions>& value);
std::string text_of(const Servers& value);
std::string text_of(const GpuChoice& value);
std::string text_of(const ArgumentValue& value);

}  // namespace batchproxy
