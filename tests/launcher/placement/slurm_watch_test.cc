// tests/launcher/placement/slurm_watch_test.cc - what is said of an allocation, and how often.
#include "launcher/placement/slurm_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

SlurmJob running(std::optional<seconds> left) {
  return {"RUNNING", left, "n[1-2]"};
}

TEST(SlurmWatch, SaysAtTheStartWhenTheTimeEnds) {
  SlurmWatch watch("12");
  EXPECT_THAT(watch.on_job(running(seconds(3540))),
              ElementsAre("Slurm: job 12 on n[1-2]: its time limit is reached in 59 min"));
  EXPECT_EQ(watch.nodes(), "n[1-2]");
  SlurmWatch endless("13");
  EXPECT_THAT(endless.on_job(running(std::nullopt)),
              ElementsAre("Slurm: job 13 on n[1-2]: it has no time limit"));
}

TEST(SlurmWatch, SaysItAgainTenMinutesTwoAndHalfAMinuteBefore) {
  SlurmWatch watch("12");
  watch.on_job(running(seconds(1800)));
  std::vector<int> said;
  for (int left = 1799; left >= 0; --left) {
    if (!watch.on_job(running(seconds(left))).empty()) said.push_back(left);
  }
  EXPECT_THAT(said, ElementsAre(600, 120, 30));
}

TEST(SlurmWatch, SaysOnceWhatWasMissedBetweenTwoLooks) {
  SlurmWatch watch("12");
  watch.on_job(running(seconds(1800)));
  EXPECT_THAT(watch.on_job(running(seconds(20))), ElementsAre(HasSubstr("is reached in 20 s")));
  EXPECT_THAT(watch.on_job(running(seconds(10))), IsEmpty());
}

TEST(SlurmWatch, SeesMoreTime) {
  SlurmWatch watch("12");
  watch.on_job(running(seconds(100)));
  EXPECT_THAT(watch.on_job(running(seconds(4000))),
              ElementsAre("Slurm: job 12 has been extended: its time limit is reached in 66 min"));
  EXPECT_THAT(watch.on_job(running(seconds(3990))), IsEmpty());
}

TEST(SlurmWatch, SaysOnceThatTheJobHasEnded) {
  SlurmWatch watch("12");
  watch.on_job(running(seconds(100)));
  EXPECT_THAT(watch.on_job(SlurmJob{"COMPLETING", std::nullopt, "n[1-2]"}),
              ElementsAre("Slurm: job 12 is now COMPLETING; its engines end, and no others can be "
                          "started there"));
  EXPECT_THAT(watch.on_job(SlurmJob{"COMPLETING", std::nullopt, "n[1-2]"}), IsEmpty());
  EXPECT_THAT(watch.on_job(std::nullopt), ElementsAre(HasSubstr("is not there any more")));
  EXPECT_THAT(watch.on_job(std::nullopt), IsEmpty());
}

TEST(SlurmWatch, SaysWhichNodesAreOutAndComeBack) {
  SlurmWatch watch("12");
  EXPECT_THAT(watch.on_nodes({{"n1", "mixed", "none"}, {"n2", "mixed", "none"}}), IsEmpty());
  EXPECT_THAT(watch.on_nodes({{"n1", "mixed", "none"}, {"n2", "allocated*", "none"}}),
              ElementsAre("Slurm: node n2 does not respond: no engine starts there now"));
  EXPECT_THAT(watch.on_nodes({{"n2", "allocated*", "none"}}), IsEmpty());
  EXPECT_THAT(
      watch.on_nodes({{"n2", "down", "Not responding"}}),
      ElementsAre("Slurm: node n2 is down (Not responding): no engine starts there until it "
                  "is resumed"));
  EXPECT_THAT(watch.on_nodes({{"n2", "idle", "none"}}),
              ElementsAre("Slurm: node n2 is well again: idle"));
  EXPECT_THAT(watch.on_nodes({{"n2", "draining", "new fans"}}),
              ElementsAre("Slurm: node n2 is draining (new fans): it takes no new jobs; engines of "
                          "this one may still start there"));
}

TEST(SlurmWatch, SaysOnceThatSlurmIsSilentAndThatItIsBack) {
  SlurmWatch watch("12");
  EXPECT_THAT(watch.on_answer(), IsEmpty());
  EXPECT_THAT(watch.on_silence("squeue", seconds(5)),
              ElementsAre("Slurm: `squeue` has not answered within 5 s: slurmctld is busy, or away "
                          "(`scontrol ping` tells); engines that run go on"));
  EXPECT_THAT(watch.on_silence("sinfo", seconds(5)), IsEmpty());
  EXPECT_THAT(watch.on_answer(), ElementsAre("Slurm: slurmctld answers again"));
  EXPECT_THAT(watch.on_answer(), IsEmpty());
}

TEST(SlurmWatch, LooksMoreOftenTowardsTheEnd) {
  SlurmWatch watch("12");
  EXPECT_EQ(watch.next_look(), seconds(30));
  watch.on_job(running(seconds(60)));
  EXPECT_EQ(watch.next_look(), seconds(15));
  watch.on_job(running(seconds(8)));
  EXPECT_EQ(watch.next_look(), seconds(5));
}

}  // namespace
}  // namespace batchproxy
