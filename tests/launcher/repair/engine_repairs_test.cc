// tests/launcher/repair/engine_repairs_test.cc - the repairs of one engine over deaths and starts.
#include "launcher/repair/engine_repairs.h"

#include <gtest/gtest.h>

#include "launcher/repair/flags.h"

namespace batchproxy {
namespace {

Diagnosis failure(Cause cause, Figures figures = {}) {
  Diagnosis diagnosis;
  diagnosis.outcome = Diagnosis::Outcome::kFailed;
  diagnosis.cause = cause;
  diagnosis.figures = std::move(figures);
  return diagnosis;
}

Diagnosis too_long(double longest) {
  Figures figures;
  figures.context = 32768;
  figures.needed_gib = 16;
  figures.available_gib = 4.85;
  figures.longest_context = longest;
  return failure(Cause::kKvTooSmall, figures);
}

RepairSubject plan(std::vector<std::string> flags = {}) {
  flags.insert(flags.begin(), {"vllm", "serve", "m"});
  return subject_of(std::move(flags), {});
}

std::optional<std::string> context(const EngineRepairs& repairs) {
  return flag_value(repairs.subject().argv, "--max-model-len");
}

TEST(EngineRepairs, MakeTheChangeForTheNextStart) {
  EngineRepairs repairs(plan(), {});
  EXPECT_EQ(context(repairs), std::nullopt);
  EXPECT_TRUE(repairs.on_failed(too_long(9920), {}).repair);
  EXPECT_EQ(context(repairs), "9920");
  EXPECT_EQ(repairs.sentences().size(), 1U);
}

TEST(EngineRepairs, AreToldOnceTheyHaveHelped) {
  EngineRepairs repairs(plan(), {});
  repairs.on_failed(too_long(9920), {});
  repairs.on_failed(too_long(9904), {});
  const std::vector<RememberedRepair> helped = repairs.on_ready();
  ASSERT_EQ(helped.size(), 1U);
  EXPECT_EQ(helped.back().cause, Cause::kKvTooSmall);
  EXPECT_EQ(helped.back().changes.front().after, "9904");
  EXPECT_TRUE(repairs.on_ready().empty());
  EXPECT_EQ(repairs.sentences().size(), 1U) << "the later one replaces the earlier";
}

TEST(EngineRepairs, AreBoundedUntilItHasBeenReady) {
  EngineRepairs repairs(plan(), {.most_attempts = 2});
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(repairs.on_failed(failure(Cause::kOomGraphs), {}).repair);
    EXPECT_TRUE(repairs.on_failed(failure(Cause::kOomGraphs), {}).repair);
    EXPECT_FALSE(repairs.on_failed(failure(Cause::kOomGraphs), {}).repair);
    repairs.on_ready();
  }
}

TEST(EngineRepairs, BeginWithWhatIsRemembered) {
  EngineRepairs before(plan(), {});
  before.on_failed(too_long(9920), {});
  before.on_failed(too_long(9904), {});
  const std::vector<RememberedRepair> remembered = before.on_ready();
  EngineRepairs after(plan(), {}, remembered);
  EXPECT_EQ(context(after), "9904");
  EXPECT_EQ(after.sentences(), before.sentences());
  EXPECT_TRUE(after.on_ready().empty()) << "it is known already";
}

TEST(EngineRepairs, LeaveWhatTheUserHasPinnedMeanwhile) {
  EngineRepairs before(plan(), {});
  before.on_failed(too_long(9920), {});
  EngineRepairs after(plan({"--max-model-len", "16384"}), {}, before.on_ready());
  EXPECT_EQ(context(after), "16384");
  EXPECT_TRUE(after.sentences().empty());
}

TEST(EngineRepairs, HoldOnlyForThePlanThatTheyWereMadeFor) {
  Figures figures;
  figures.sequences = 1024;
  figures.most_sequences = 600;
  EngineRepairs before(plan({"--max-num-seqs", "1024"}), {});
  before.on_failed(failure(Cause::kMambaBlocks, figures), {});
  const std::vector<RememberedRepair> remembered = before.on_ready();
  const auto sequences = [&remembered](const std::string& planned) {
    const EngineRepairs after(plan({"--max-num-seqs", planned}), {}, remembered);
    return flag_value(after.subject().argv, "--max-num-seqs");
  };
  EXPECT_EQ(sequences("1024"), "600");
  EXPECT_EQ(sequences("256"), "256") << "which fits by itself";
}

TEST(EngineRepairs, DoNotOutliveMemoryThatSomebodyElseHeld) {
  Figures figures;
  figures.free_gib = 40;
  figures.total_gib = 80;
  EngineRepairs repairs(plan(), {});
  repairs.on_failed(failure(Cause::kFreeMemory, figures), {});  // waits
  repairs.on_failed(failure(Cause::kFreeMemory, figures), {});
  EXPECT_EQ(flag_value(repairs.subject().argv, "--gpu-memory-utilization"), "0.49");
  EXPECT_TRUE(repairs.on_ready().empty());
}

TEST(EngineRepairs, OfAnUnknownFailureAreNone) {
  Diagnosis unknown;
  unknown.outcome = Diagnosis::Outcome::kUnknown;
  const RepairDecision decision = EngineRepairs(plan(), {}).on_failed(unknown, {});
  EXPECT_FALSE(decision.repair);
  EXPECT_EQ(decision.reason, "Why it failed is not known.");
}

}  // namespace
}  // namespace batchproxy
