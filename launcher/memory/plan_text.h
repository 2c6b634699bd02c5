// launcher/memory/plan_text.h - a plan's report as a table for people, and as JSON for programs.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>

#include "launcher/memory/plan_report.h"

namespace batchproxy {

// For a terminal.
std::string plan_text(const PlanReport& report);

// One JSON object; docs/MEMORY.md names its members.
std::string plan_json(const PlanReport& report);

}  // namespace batchproxy
