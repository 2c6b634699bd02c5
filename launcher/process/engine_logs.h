// launcher/process/engine_logs.h - the engines' log files, opened before anything is started: what
// cannot be written is told then, and no two batchproxys write to one file.
//
// Threading: confined to one thread; keep it as long as the engines live.
#pragma once

#include <string>
#include <vector>

#include "backends/net/descriptor.h"
#include "launcher/base/result.h"
#include "launcher/plan/engine_plan.h"

namespace batchproxy {

class EngineLogs {
 public:
  EngineLogs() = default;  // none

  // Makes `directory` and opens each plan's log file in it. If another batchproxy, or an engine
  // that it has left, still writes to one of them, all go to a directory of their own below it: the
  // plans are changed to say so.
  static OrError<EngineLogs> open(const std::string& directory, std::vector<EnginePlan>& plans);

  // Why open() would fail, as far as that can be told without making anything; empty if it would
  // not.
  static std::string problem(const std::string& directory, const std::vector<EnginePlan>& plans);

 private:
  std::vector<Descriptor> files_;  // locked; by plan
};

}  // namespace batchproxy
