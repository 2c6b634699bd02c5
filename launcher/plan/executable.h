// launcher/plan/executable.h - finds programs on PATH before anything is started.
//
// Threading: any thread.
#pragma once

#include <string>
#include <vector>

#include "launcher/base/result.h"
#include "launcher/plan/engine_plan.h"

namespace batchproxy {

// The absolute path of `name`: searched for in `path` (the value of PATH), or, when it has a slash,
// taken relative to the working directory.
OrError<std::string> find_executable(const std::string& name, const std::string& path);

// Makes each plan's argv[0] an absolute path. Returns what is missing, each program once; the plans
// can run only when that is nothing.
std::vector<std::string> resolve_executables(std::vector<EnginePlan>& plans,
                                             const std::string& path);

}  // namespace batchproxy
