// configs/schema/key.h - Key<T>: one key of the configuration file: its name, default, limits,
// meaning, flag and variable, what a reload does with it and, once loaded, where its value came
// from.
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

// The values that a key takes. For numbers and durations (in seconds) the closed range [min, max];
// for strings one of `words`, or anything of that form when `words` is empty.
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

// When a changed value of a running process counts. There is no default: a new key has to say.
enum class Applies {
  kOnReload,
  kAfterRestart,  // a reload keeps the old value and says so
  // As kOnReload, but kept while engines that we start and servers that run already would take
  // each other's place.
  kUnlessSourceChanges,
};

// How a key is given on the command line and in the environment, which both win over the file.
struct KeyFlag {
  std::string_view name;      // "--listen"; empty where a key stands in the file only
  std::string_view variable;  // "BATCHPROXY_LISTEN"; a list has its items between commas
  std::string_view takes;     // "[HOST:]PORT", as --help names the value
  std::string_view help;      // one line of --help
  int order = 0;              // the place in --help, least first
};

// Flags up to this place stand in --help, which is one screen; --help-all has all of them.
inline constexpr int kLastOfShortHelp = 70;

// `takes` of a flag that may stand alone and says true then.
inline constexpr std::string_view kOptionalBool = "[BOOL]";

template <class T>
struct Key {
  std::string_view name;  // as written in the file
  T value;
  Limits limits;
  Applies applies;
  std::string_view help;  // one line, for `batchproxy keys` and docs/CONFIGURATION.md
  KeyFlag flag{};
  Origin origin{};

  const T& operator*() const { return value; }
  const T* operator->() const { return &value; }
  bool is_set() const { return origin.source != Source::kDefault; }
};

}  // namespace batchproxy
