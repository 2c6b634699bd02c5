// tests/configs/load_text.h - shorthand for loading configurations in tests.
#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "configs/loader.h"
#include "configs/schema/backend_source.h"

namespace batchproxy {

inline LoadResult load_text(std::string text, std::vector<Flag> flags = {},
                            Environment environment = {}) {
  return load({"my.yaml", std::move(text), std::move(flags), std::move(environment)});
}

inline LoadResult load_without_file(std::vector<Flag> flags = {}, Environment environment = {}) {
  return load({"", std::nullopt, std::move(flags), std::move(environment)});
}

inline std::string printed(const std::vector<Diagnostic>& diagnostics) {
  std::string text;
  for (const Diagnostic& one : diagnostics) text += one.format() + "\n";
  return text;
}

inline std::string read_whole_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

inline std::string source_path(const std::string& path) {
  return std::string(BATCHPROXY_SOURCE_DIR) + "/" + path;
}

}  // namespace batchproxy
