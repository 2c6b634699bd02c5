// tests/launcher/placement/slurm_text_test.cc - srun's words, and what Slurm's programs say.
#include "launcher/placement/slurm_text.h"

#include <algorithm>

#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using std::chrono::seconds;

TEST(SlurmText, ReadsTimes) {
  EXPECT_EQ(parse_slurm_time("59:30"), seconds(59 * 60 + 30));
  EXPECT_EQ(parse_slurm_time("0:05"), seconds(5));
  EXPECT_EQ(parse_slurm_time("02:03:04"), seconds(7384));
  EXPECT_EQ(parse_slurm_time("1-02:03:04"), seconds(86400 + 7384));
  EXPECT_EQ(parse_slurm_time("30-00:00:00"), seconds(30 * 86400));
}

TEST(SlurmText, ReadsNoTimeWhereThereIsNone) {
  for (const char* text : {"", "UNLIMITED", "NOT_SET", "INVALID", "5", "1-", "-1:00", "1:2:3:4",
                           "1:x", "x-1:00", ":"}) {
    EXPECT_FALSE(parse_slurm_time(text)) << text;
  }
}

TEST(SlurmText, WritesTimesForPeople) {
  EXPECT_EQ(time_text(seconds(45)), "45 s");
  EXPECT_EQ(time_text(seconds(119)), "119 s");
  EXPECT_EQ(time_text(seconds(3540)), "59 min");
  EXPECT_EQ(time_text(seconds(7200)), "2 h");
  EXPECT_EQ(time_text(seconds(8100)), "2 h 15 min");
}

TEST(SlurmText, ReadsAJob) {
  const auto job = parse_squeue("RUNNING|59:30|n[1-2]");
  ASSERT_TRUE(job);
  EXPECT_EQ(job->state, "RUNNING");
  EXPECT_EQ(job->left, seconds(3570));
  EXPECT_EQ(job->nodes, "n[1-2]");
  EXPECT_EQ(parse_squeue("RUNNING|UNLIMITED|n1")->left, std::nullopt);
  EXPECT_FALSE(parse_squeue("slurm_load_jobs error: Invalid job id specified"));
  EXPECT_FALSE(parse_squeue(""));
}

TEST(SlurmText, ReadsNodes) {
  const auto node = parse_sinfo("n2|down*|Not responding");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->name, "n2");
  EXPECT_EQ(node->reason, "Not responding");
  EXPECT_TRUE(node->is_out());
  for (const char* out : {"down", "drained", "draining", "allocated*", "idle*", "fail"}) {
    EXPECT_TRUE((SlurmNode{"n", out, ""}).is_out()) << out;
  }
  for (const char* in : {"allocated", "mixed", "idle", "completing", "mixed-"}) {
    EXPECT_FALSE((SlurmNode{"n", in, ""}).is_out()) << in;
  }
}

AgentCall call() {
  AgentCall made;
  made.engine = "engine-1";
  made.index = 1;
  made.engines = 8;
  made.gpus = 2;
  made.argv = {"batchproxy", "engine-agent"};
  return made;
}

bool has(const std::vector<std::string>& words, const std::string& word) {
  return std::ranges::find(words, word) != words.end();
}

TEST(SlurmText, AsksForAStepOnOneNode) {
  const Environment environment{
      {"SLURM_JOB_ID", "12"}, {"SLURM_JOB_CPUS_PER_NODE", "16(x2)"}, {"SLURM_JOB_NUM_NODES", "2"}};
  const auto words = srun_command(call(), environment, {"-c", "8"});
  EXPECT_EQ(words.front(), "srun");
  for (const char* word : {"--jobid=12", "--exact", "--nodes=1", "--ntasks=1", "--gres=gpu:2",
                           "--cpus-per-task=4", "--mem=0", "--job-name=engine-1"}) {
    EXPECT_TRUE(has(words, word)) << word;
  }
  const std::vector<std::string> last(words.end() - 4, words.end());
  EXPECT_EQ(last, (std::vector<std::string>{"-c", "8", "batchproxy", "engine-agent"}));
}

TEST(SlurmText, GivesEachEngineItsShareOfTheCoresAndOneAtLeast) {
  Environment environment{{"SLURM_JOB_ID", "12"}, {"SLURM_JOB_CPUS_PER_NODE", "2"}};
  EXPECT_FALSE(std::ranges::any_of(srun_command(call(), environment, {}), [](const auto& word) {
    return word.starts_with("--cpus-per-task");
  })) << "how many nodes there are is not known";
  environment["SLURM_JOB_NUM_NODES"] = "1";
  EXPECT_TRUE(has(srun_command(call(), environment, {}), "--cpus-per-task=1"));
}

TEST(SlurmText, AsksForNoGpuWhereNoneIsNeeded) {
  AgentCall none = call();
  none.gpus = 0;
  EXPECT_TRUE(has(srun_command(none, {{"SLURM_JOB_ID", "12"}}, {}), "--gres=none"));
}

TEST(SlurmText, KeepsFromAStepWhatWasSaidToTheJob) {
  const Environment kept = srun_environment({{"SLURM_JOB_ID", "12"},
                                             {"SLURM_GPUS_PER_NODE", "8"},
                                             {"SLURM_NTASKS", "2"},
                                             {"SLURM_CPU_BIND_TYPE", "mask_cpu:"},
                                             {"SLURM_STEP_ID", "0"},
                                             {"SLURM_CONF", "/etc/slurm.conf"},
                                             {"PATH", "/bin"}});
  EXPECT_EQ(
      kept,
      (Environment{{"SLURM_JOB_ID", "12"}, {"SLURM_CONF", "/etc/slurm.conf"}, {"PATH", "/bin"}}));
}

TEST(SlurmText, KnowsWhoWaits) {
  EXPECT_TRUE(is_waiting(
      "srun: Job 3 step creation temporarily disabled, retrying (Requested nodes are busy)"));
  EXPECT_FALSE(is_waiting("srun: Step created for job 3"));
}

TEST(SlurmText, SaysWhatToDo) {
  EXPECT_NE(slurm_advice("slurmstepd: error: *** STEP 3.1 ON n1 CANCELLED AT 2026-11-30T10:00:00 "
                         "DUE TO TIME LIMIT ***")
                .find("time limit is reached"),
            std::string_view::npos);
  EXPECT_NE(slurm_advice("srun: error: Unable to create step for job 3: Requested node "
                         "configuration is not available")
                .find("no node of the allocation has so many GPUs"),
            std::string_view::npos);
  EXPECT_NE(slurm_advice("srun: error: Step requested gres_per_node=gpu:16 is more than the job's "
                         "gres_per_node=gpu:8")
                .find("no node of the allocation has so many GPUs"),
            std::string_view::npos);
  EXPECT_EQ(slurm_advice("srun: launching StepId=3.1 on host n1, 1 tasks: 0"), "");
}

}  // namespace
}  // namespace batchproxy
