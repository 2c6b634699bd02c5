// proxy/commands/commands.h - the subcommands, one source file each.
//
// Threading: start-up only.
#pragma once

#include "proxy/commands/command.h"

namespace batchproxy {

// serve.cc: the program without a subcommand. Adds its flags to `app` itself.
Command add_serve(CLI::App& app, CommandLine& arguments);

Command add_run(CLI::App& app, CommandLine& arguments);            // run.cc
Command add_jobs(CLI::App& app, CommandLine& arguments);           // jobs.cc
Command add_check(CLI::App& app, CommandLine& arguments);          // check.cc
Command add_worker_config(CLI::App& app, CommandLine& arguments);  // worker_config.cc
Command add_engines(CLI::App& app, CommandLine& arguments);        // engines.cc
Command add_status(CLI::App& app, CommandLine& arguments);         // status.cc
Command add_top(CLI::App& app, CommandLine& arguments);            // top.cc
Command add_stop(CLI::App& app, CommandLine& arguments);           // stop.cc
Command add_keys(CLI::App& app, CommandLine& arguments);           // keys.cc
Command add_plan(CLI::App& app, CommandLine& arguments);           // plan.cc
Command add_diagnose(CLI::App& app, CommandLine& arguments);       // diagnose.cc
Command add_launch(CLI::App& app, CommandLine& arguments);         // launch.cc
Command add_serve_model(CLI::App& app, CommandLine& arguments);    // launch.cc
Command add_gpus(CLI::App& app, CommandLine& arguments);           // gpus.cc
Command add_doctor(CLI::App& app, CommandLine& arguments);         // doctor.cc
Command add_completion(CLI::App& app, CommandLine& arguments);     // manual.cc
Command add_manual(CLI::App& app, CommandLine& arguments);         // manual.cc

}  // namespace batchproxy
