// configs/text/diagnostic.h - one finding about the configuration, printed the way compilers do.
//
// Threading: immutable once made.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace batchproxy {

// Where something was written. `file` is the path as the user gave it, or the name of a flag or an
// environment variable; `line` and `column` count from 1 and are 0 where they make no sense.
struct Place {
  std::string file;
  int line = 0;
  int column = 0;

  friend bool operator==(const Place&, const Place&) = default;
};

// "my.yaml:12:5", or just the file (flag, variable) when there is no line.
std::string to_string(const Place& place);

enum class Severity {
  kError,    // the configuration cannot be used
  kWarning,  // probably a mistake; an error under `check --strict`
  kNotice,   // something the user may not expect, and need not change
};

struct Diagnostic {
  Severity severity = Severity::kError;
  std::string file;
  int line = 0;
  int column = 0;
  std::string message;

  // "my.yaml:12:5: error: batch_size: expected ..."
  std::string format() const;
};

// The findings of one load, in the order they were made.
class Findings {
 public:
  void error(const Place& place, std::string message);
  void warning(const Place& place, std::string message);
  void notice(const Place& place, std::string message);

  bool has_error_at(const Place& place) const;
  std::vector<Diagnostic> take() && { return std::move(list_); }

 private:
  void add(Severity severity, const Place& place, std::string message);

  std::vector<Diagnostic> list_;
};

}  // namespace batchproxy
