// configs/key.h - Key<T>: one key of the configuration file: its name, default, limits, meaning,
// and, once loaded, where its value came from.
//
// Threading: filled once at start-up, read-only afterwards.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace batchproxy {

using Seconds = std::chrono::duration<double>;

// Where a value came from. Later sources win: default < vllm environment < file < environment <
// flag.
enum class Source { kDefault, kVllmEnvironment, kFile, kEnvironment, kFlag };

struct Origin {
  Source source = Source::kDefault;
  std::string detail;  // "my.yaml:12:5", "BATCHPROXY_LISTEN", "--listen"; empty for a default
  int line = 0;        // in Options::file, when the source is kFile
  int column = 0;
};

// What a value may be. For numbers and durations (in seconds) the closed range [min, max]; for
// strings one of `words`, or anything of that form when `words` is empty.
struct Limits {
  // kPath: "~/x" is one in the home directory. kAddress: a port alone is one of 127.0.0.1.
  enum class Form { kText, kPath, kAddress };

  double min = 0;
  double max = 0;
  std::vector<std::string_view> words;
  Form form = Form::kText;
};

inline Limits anything() {
  return {};
}
inline Limits between(double min, double max) {
  return {min, max, {}, {}};
}
inline Limits one_of(std::vector<std::string_view> words) {
  return {0, 0, std::move(words), {}};
}
inline Limits a_path() {
  return {0, 0, {}, Limits::Form::kPath};
}
inline Limits an_address() {
  return {0, 0, {}, Limits::Form::kAddress};
}

template <class T>
struct Key {
  std::string_view name;  // as written in the file
  T value;
  Limits limits;
  std::string_view help;  // one line, for `batchproxy keys` and docs/CONFIGURATION.md
  Origin origin{};

  const T& operator*() const { return value; }
  const T* operator->() const { return &value; }
  bool is_set() const { return origin.source != Source::kDefault; }
};

}  // namespace batchproxy
