// launcher/diagnosis/report.h - a diagnosis as text for people and as JSON for programs.
//
// Threading: pure functions, any thread.
#pragma once

#include <string>

#include "launcher/diagnosis/diagnosis.h"

namespace batchproxy {

// What happened, the evidence, the log and what to do; ends with a newline. `log` is the path as
// people know it.
std::string diagnosis_text(const Diagnosis& diagnosis, const std::string& log);

// One object on one line, without a newline:
//   cause      a word of the table in cause.cc, or null: no failure, or one that we do not know
//   outcome    "healthy", "unended", "failed" or "unknown"
//   what       the cause in a sentence, or null
//   evidence   the decisive line, or null
//   advice     list of sentences
//   stage      how far the start came, a word such as "loading_weights", or null
//   also       other causes in the same log, list of words
//   last_lines list; of an unknown failure
//   run, log   texts
std::string diagnosis_json(const Diagnosis& diagnosis, const std::string& log);

}  // namespace batchproxy
