// launcher/doctor/doctor.h - looks for what keeps engines from starting, before minutes are spent
// on loading one.
//
// A check is a function from `Subject` to findings, and a row of the table in doctor.cc.
//
// Threading: any thread; reads files of the model, so it may take seconds.
#pragma once

#include <string>
#include <vector>

#include "launcher/base/finding.h"
#include "launcher/doctor/subject.h"

namespace batchproxy {

// All findings, in the order of the table.
std::vector<Finding> examine(Subject subject);

bool has_failure(const std::vector<Finding>& findings);

// A line for each finding and one for its fix, then how many there are of each kind.
std::string doctor_text(const std::vector<Finding>& findings);

// {"ok": false, "checks": [{"name", "verdict", "text", "fix"}]}
std::string doctor_json(const std::vector<Finding>& findings);

}  // namespace batchproxy
