// tests/launcher/outlook/slurm_outlook_test.cc - what scontrol tells of an allocation, and what
// follows.
#include "launcher/outlook/slurm_outlook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/launcher/doctor/box.h"

namespace batchproxy {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

// Of Slurm 22.05, less what is not read.
const char* const kJob =
    "JobId=12 JobName=interactive UserId=root(0) JobState=RUNNING Reason=None "
    "RunTime=00:01:00 TimeLimit=08:00:00 TimeMin=N/A ReqNodeList=(null) ExcNodeList=(null) "
    "NodeList=n[1-2],m7 BatchHost=n1 NumNodes=3 JOB_GRES=gpu:h100:18   Nodes=m7 CPU_IDs=8-15 Mem=0 "
    "GRES=gpu:h100:2(IDX:0-1)   Nodes=n[1-2] CPU_IDs=8-15 Mem=0 "
    "GRES=gpu:h100:6(IDX:0-3,6-7),gpu:a100:2(IDX:4-5),shard:9 MinCPUsNode=8 Command=(null)\n";

TEST(HostList, IsExpanded) {
  EXPECT_THAT(expand_host_list("n1"), ElementsAre("n1"));
  EXPECT_THAT(expand_host_list("n[08-10,12],m[1-2]x,k"),
              ElementsAre("n08", "n09", "n10", "n12", "m1x", "m2x", "k"));
  EXPECT_THAT(expand_host_list(""), SizeIs(0));
  EXPECT_THAT(expand_host_list("n[x-y]"), SizeIs(0));
  EXPECT_LE(expand_host_list("n[0-99999999]").size(), 4096u);
}

TEST(Scontrol, TellsAnAllocation) {
  const auto allocation = parse_scontrol_job(kJob);
  ASSERT_TRUE(allocation);
  EXPECT_EQ(allocation->job.state, "RUNNING");
  EXPECT_EQ(allocation->job.nodes, "n[1-2],m7");
  EXPECT_EQ(allocation->job.left, seconds(8 * 3600 - 60));
  ASSERT_THAT(allocation->nodes, SizeIs(3));
  EXPECT_EQ(allocation->nodes[0].name, "m7");
  EXPECT_EQ(allocation->nodes[0].gpus, 2u);
  EXPECT_EQ(allocation->nodes[2].name, "n2");
  EXPECT_EQ(allocation->nodes[2].gpus, 8u) << "of both kinds";
}

TEST(Scontrol, TellsOneWithoutGpusOrLimit) {
  const auto allocation = parse_scontrol_job(
      "JobId=1 JobState=RUNNING RunTime=00:00:01 TimeLimit=UNLIMITED NodeList=n1 Nodes=n1 "
      "CPU_IDs=0 Mem=0 GRES=\n");
  ASSERT_TRUE(allocation);
  EXPECT_FALSE(allocation->job.left);
  ASSERT_THAT(allocation->nodes, SizeIs(1));
  EXPECT_EQ(allocation->nodes[0].gpus, 0u);
}

TEST(Scontrol, SaysNothingElse) {
  EXPECT_FALSE(parse_scontrol_job("slurm_load_jobs error: Invalid job id specified\n"));
  EXPECT_FALSE(parse_scontrol_job(""));
}

std::string lines_of(const std::vector<Finding>& findings) {
  std::string text;
  for (const Finding& finding : findings) {
    const char* const mark = finding.verdict == CheckVerdict::kOk        ? "ok: "
                             : finding.verdict == CheckVerdict::kWarning ? "warning: "
                                                                         : "failure: ";
    text += mark + finding.text + (finding.fix.empty() ? "" : " -> " + finding.fix) + "\n";
  }
  return text;
}

SlurmAllocation two_nodes(seconds left) {
  return {{"RUNNING", left, "n[1-2]"}, {{"n1", 8}, {"n2", 8}}};
}
const std::vector<std::size_t> kEight(8, 2);

TEST(SlurmFindings, TellTimeNodesAndThatAllFits) {
  EXPECT_EQ(lines_of(slurm_findings("12", two_nodes(seconds(3600)), {}, kEight)),
            "ok: Slurm: job 12 on n[1-2]: its time limit is reached in 60 min\n"
            "ok: 2 nodes of 8 GPUs (n1, n2): 8 engines of 2 GPUs fit\n");
}

TEST(SlurmFindings, WarnOfATimeLimitThatIsNear) {
  EXPECT_THAT(lines_of(slurm_findings("12", two_nodes(seconds(300)), {}, kEight)),
              HasSubstr("warning: Slurm: job 12 on n[1-2]: its time limit is reached in 5 min -> "
                        "extend it (scontrol update jobid=12 timelimit=...)"));
}

TEST(SlurmFindings, CountNoNodeThatIsDown) {
  const auto text = lines_of(slurm_findings(
      "12", two_nodes(seconds(3600)), {{"n1", "mixed", "none"}, {"n2", "down", "x"}}, kEight));
  EXPECT_THAT(text, HasSubstr("warning: Slurm: node n2 is down (x)"));
  EXPECT_THAT(text, HasSubstr("failure: 1 node of 8 GPUs (n1): 8 engines of 2 GPUs do not all "
                              "fit: 4 of them find no room -> allocate more GPUs"));
}

TEST(SlurmFindings, CountOneThatIsDraining) {
  EXPECT_THAT(lines_of(slurm_findings("12", two_nodes(seconds(3600)), {{"n2", "draining", "disk"}},
                                      kEight)),
              HasSubstr("ok: 2 nodes of 8 GPUs"));
}

TEST(SlurmFindings, SayThatAJobDoesNotRun) {
  const auto text = lines_of(slurm_findings("12", {{"COMPLETING", {}, "n1"}, {}}, {}, kEight));
  EXPECT_EQ(text,
            "failure: Slurm: job 12 is COMPLETING: no engine can be started in it -> start "
            "batchproxy in an allocation that runs (salloc, sbatch)\n");
}

TEST(SlurmFindings, EndAStartOnlyByAJobThatHasEnded) {
  const auto ends = [](const std::string& state) {
    return slurm_findings("12", {{state, {}, "n1"}, {{"n1", 8}}}, {}, kEight).front().is_hopeless;
  };
  for (const char* over : {"COMPLETING", "COMPLETED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}) {
    EXPECT_TRUE(ends(over)) << over;
  }
  for (const char* other : {"RUNNING", "PENDING", "CONFIGURING", "SUSPENDED", "A_NEW_ONE"}) {
    EXPECT_FALSE(ends(other)) << other;
  }
}

// A machine with Slurm's programs, which say `answers` in turn.
class SlurmOutlook : public testing::Test {
 protected:
  SlurmOutlook() {
    box_.program("/usr/bin/scontrol", "");
    box_.program("/usr/bin/sinfo", "");
    box_.machine.environment["SLURM_JOB_ID"] = "12";
    box_.machine.output_of = [this](const auto& argv, auto) -> std::optional<std::string> {
      asked_.push_back(argv);
      const bool is_scontrol = argv[4].ends_with("/scontrol");
      return is_scontrol ? scontrol_ : sinfo_;
    };
  }

  std::string outlook() { return lines_of(slurm_outlook(box_.machine, {8, 8, 2})); }

  Box box_;
  std::optional<std::string> scontrol_ = kJob;
  std::optional<std::string> sinfo_ =
      "m7|mixed|none\nn1|mixed|none\nn1|mixed|none\nn2|mixed|none\n";
  std::vector<std::vector<std::string>> asked_;
};

TEST_F(SlurmOutlook, AsksScontrolOfTheJobAndSinfoOfItsNodes) {
  EXPECT_EQ(
      outlook(),
      "ok: Slurm: job 12 on n[1-2],m7: its time limit is reached in 7 h 59 min\n"
      "ok: 2 nodes of 8 GPUs, 1 node of 2 GPUs (m7, n1, n2): 2 engines of 8 GPUs, 1 engine of "
      "2 GPUs fit\n");
  ASSERT_THAT(asked_, SizeIs(2));
  EXPECT_EQ(asked_[0].back(), "12");
  EXPECT_THAT(asked_[1], testing::Contains("--nodes=n[1-2],m7"));
}

TEST_F(SlurmOutlook, SaysThatNobodyHasAnswered) {
  scontrol_.reset();
  EXPECT_THAT(outlook(), HasSubstr("warning: `scontrol` has not answered within 3 s"));
}

TEST_F(SlurmOutlook, PassesOnWhatScontrolSays) {
  scontrol_ = "slurm_load_jobs error: Invalid job id specified\n";
  EXPECT_EQ(
      outlook(),
      "failure: of job 12 `scontrol` says: slurm_load_jobs error: Invalid job id specified -> "
      "the allocation has ended: start again in a new one (salloc)\n");
  scontrol_ = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n";
  EXPECT_THAT(outlook(), HasSubstr("-> slurmctld does not answer"));
}

TEST_F(SlurmOutlook, SaysThatAProgramHasSaidNothingAtOnce) {
  scontrol_ = "\n";
  EXPECT_THAT(outlook(),
              HasSubstr("warning: `scontrol show job 12` has ended without a word; what the"));
}

TEST_F(SlurmOutlook, KnowsWhatIsInTheWayOfAStart) {
  const auto obstacle = [this] { return slurm_obstacle(box_.machine); };
  EXPECT_FALSE(obstacle());
  EXPECT_THAT(asked_, SizeIs(1)) << "sinfo is not asked";
  scontrol_ = "slurm_load_jobs error: Invalid job id specified\n";
  ASSERT_TRUE(obstacle());
  EXPECT_TRUE(obstacle()->is_hopeless);
  EXPECT_THAT(obstacle()->fix, HasSubstr("start again in a new one (salloc)"));
  scontrol_ = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n";
  ASSERT_TRUE(obstacle());
  EXPECT_FALSE(obstacle()->is_hopeless) << "it may come back";
  scontrol_ = "JobId=12 JobState=CANCELLED NodeList=n1\n";
  ASSERT_TRUE(obstacle());
  EXPECT_TRUE(obstacle()->is_hopeless);
  EXPECT_THAT(obstacle()->text, HasSubstr("job 12 is CANCELLED"));
}

TEST_F(SlurmOutlook, DoesWithoutSinfo) {
  sinfo_.reset();
  EXPECT_THAT(outlook(), HasSubstr("1 engine of 2 GPUs fit"));
}

TEST_F(SlurmOutlook, NamesAProgramThatIsNotThere) {
  box_.machine.environment["PATH"] = "/elsewhere";
  EXPECT_THAT(outlook(), HasSubstr("warning: `scontrol` was not found on PATH"));
}

}  // namespace
}  // namespace batchproxy
