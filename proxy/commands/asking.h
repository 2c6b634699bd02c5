// proxy/commands/asking.h - the flags of commands that ask questions: `run` and `jobs verify`.
//
// Threading: start-up only.
#pragma once

#include "backends/questions/question_file.h"
#include "proxy/commands/command.h"
#include "proxy/jobs/run/job_proxy.h"
#include "proxy/jobs/run_core.h"

namespace batchproxy {

void add_asking_flags(CLI::App& command, ProxyChoice& proxy, QuestionDefaults& defaults,
                      RunLimits& limits);

// Without --url: a proxy of our own, with the flags that this command has. False when these cannot
// be used; that has been told.
bool choose_proxy(const CommandLine& arguments, ProxyChoice& proxy);

}  // namespace batchproxy
