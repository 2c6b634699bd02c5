// tests/proxy/repair_loop_test.cc - from the log of a simulated engine that fails to flags with
// which it comes up: log, cause, repair, and again, without a process.
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/sim/sizing.h"
#include "backends/sim/startup_log.h"
#include "launcher/diagnosis/diagnosis.h"
#include "launcher/repair/engine_repairs.h"

namespace batchproxy {
namespace {

// As a child process would see them.
class Variables {
 public:
  explicit Variables(const Environment& set) : set_(set) {
    for (const auto& [name, value] : set_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  Variables(const Variables&) = delete;
  Variables& operator=(const Variables&) = delete;
  ~Variables() {
    for (const auto& [name, value] : set_) ::unsetenv(name.c_str());
  }

 private:
  const Environment set_;
};

// What the engine writes until it fails; nothing if it comes up.
std::optional<std::string> log_of_start(const RepairSubject& subject) {
  const Variables variables(subject.environment);
  const sim::SimFlags flags = sim::parse_sim_flags(subject.argv);
  const sim::Sizing sizing =
      sim::sizing_of(flags, sim::Hardware(flags.gpu, flags.tensor_parallel_size));
  const auto failure = sim::failure_while_loading(flags, sizing);
  if (!failure) return std::nullopt;
  std::string log;
  for (const sim::StartupLine& line : sim::startup_lines(
           flags, {sizing.memory.tokens(), sizing.memory.gib, sizing.max_model_len, 2048}, "a:1",
           {})) {
    if (line.after > failure->after) break;
    log += line.where.empty() ? line.text : sim::vllm_log_line("INFO", line.where, line.text, 0);
    log += "\n";
  }
  for (const std::string& line : sim::failure_lines(*failure, 0)) log += line + "\n";
  return log;
}

// The flags with which it came up in the end, behind those that it had; or why it did not.
std::string outcome(const RepairSubject& planned, const RepairMachine& machine = {}) {
  EngineRepairs repairs(planned, {});
  while (const auto log = log_of_start(repairs.subject())) {
    DiagnosisReader reader;
    reader.feed(*log);
    const Diagnosis diagnosis = reader.diagnose();
    const RepairDecision decision = repairs.on_failed(diagnosis, machine);
    if (!decision.repair) return decision.reason + " " + diagnosis.evidence;
  }
  std::string flags;
  const std::vector<std::string>& argv = repairs.subject().argv;
  for (std::size_t i = planned.argv.size(); i < argv.size(); ++i) flags += argv[i] + " ";
  for (const auto& [name, value] : repairs.subject().environment) {
    flags += name + "=" + value + " ";
  }
  return flags;
}

std::string outcome_of(const std::string& failure, RepairMachine machine = {}) {
  return outcome({.argv = {"m", "--sim-fail", failure}}, machine);
}

TEST(RepairLoop, AContextThatDoesNotFitComesUpAtTheOneThatDoes) {
  for (const auto& [version, context] : {std::pair("0.7", "9904"), std::pair("0.12", "9920"),
                                         std::pair("0.32", "9920"), std::pair("0.33", "9904")}) {
    EXPECT_EQ(outcome({.argv = {"m", "--sim-kv-memory", "4.85GiB", "--sim-vllm-version", version}}),
              "--max-model-len " + std::string(context) + " ")
        << version;
  }
}

TEST(RepairLoop, APinnedContextIsRefused) {
  const std::string reason =
      outcome({.argv = {"m", "--sim-kv-memory", "4.85GiB", "--max-model-len", "32768"},
               .is_context_pinned = true});
  EXPECT_NE(reason.find("max_model_len was set by you"), std::string::npos) << reason;
}

TEST(RepairLoop, WithEnoughMemoryNothingIsTouched) {
  for (const char* version : {"0.7", "0.32", "0.33"}) {
    EXPECT_EQ(outcome({.argv = {"m", "--sim-kv-memory", "16.1GiB", "--sim-vllm-version", version}}),
              "")
        << version;
  }
}

TEST(RepairLoop, EachFailureThatFlagsPreventIsPrevented) {
  EXPECT_EQ(outcome_of("mamba-blocks"), "--max-num-seqs 600 ");
  EXPECT_EQ(outcome_of("oom-capture"), "--gpu-memory-utilization 0.85 ");
  EXPECT_EQ(outcome_of("oom-sampler"), "--max-num-seqs 512 ");
  EXPECT_EQ(outcome_of("oom-profile"), "--max-num-batched-tokens 4096 ");
  EXPECT_EQ(outcome_of("kv-none"), "--gpu-memory-utilization 0.95 ");
  EXPECT_EQ(outcome_of("free-memory"), "--gpu-memory-utilization 0.75 ");
  EXPECT_EQ(outcome_of("no-nvcc"), "VLLM_USE_FLASHINFER_SAMPLER=0 ");
  EXPECT_EQ(outcome_of("oom-load", {.spare_gpus = 1}), "--tensor-parallel-size 2 ");
  EXPECT_EQ(outcome({.argv = {"m", "--tensor-parallel-size", "2", "--sim-fail", "nccl"}}),
            "--disable-custom-all-reduce NCCL_P2P_DISABLE=1 ");
}

TEST(RepairLoop, WhatNoFlagPreventsEnds) {
  EXPECT_NE(outcome_of("port-taken").find("nothing that batchproxy may change"), std::string::npos);
  EXPECT_NE(outcome_of("oom-load").find("nothing that batchproxy may change"), std::string::npos);
  EXPECT_NE(outcome_of("killed").find("only you can"), std::string::npos);
  EXPECT_EQ(outcome_of("unknown"),
            "Why it failed is not known. RuntimeError: the flux capacitor is not charged");
}

}  // namespace
}  // namespace batchproxy
