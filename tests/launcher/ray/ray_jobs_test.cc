// tests/launcher/ray/ray_jobs_test.cc - Ray's answers as Ray 2.60 gave them, and what we make
// of them.
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/ray/ray_jobs.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using std::chrono::seconds;

constexpr const char* kUrl = "http://head:8265";

// GET /api/jobs/ID.
std::string job_body(const std::string& status, const std::string& rest) {
  return R"({"type": "SUBMISSION", "job_id": null, "submission_id": "batchproxy-r1-engine-0-1",
    "driver_info": null, "status": ")" +
         status + R"(", "entrypoint": "exec batchproxy", "error_type": null,
    "start_time": 1796029068492, "end_time": null, "runtime_env": {"env_vars": {"A": "b"}},
    "metadata": {"batchproxy_configuration": "login1:/logs", "batchproxy_run": "r1",
      "batchproxy_process": "4711 90123", "batchproxy_engine": "engine-0"},
    )" + rest +
         "}";
}
const std::string kPending = job_body(
    "PENDING", R"("message": "Job has not started yet.", "driver_agent_http_address": null)");
const std::string kRunning =
    job_body("RUNNING",
             R"("message": "Job is currently running.",
                "driver_agent_http_address": "http://10.0.0.7:52365")");

TEST(RayJobId, HoldsNothingThatAPathMustNot) {
  EXPECT_EQ(ray_job_id("r1", "engine-0", 3), "batchproxy-r1-engine-0-3");
  EXPECT_EQ(ray_job_id("a/b c", "engine-0", 1), "batchproxy-a_b_c-engine-0-1");
}

TEST(RaySubmissionJson, IsWhatRayTakes) {
  const RaySubmission submission{
      .id = "batchproxy-r1-engine-0-1",
      .command = {"/opt/batchproxy", "engine-agent", "it's $HOME"},
      .variables = {{"BATCHPROXY_AGENT_TOKEN", "secret"}},
      .gpus = 2,
      .stop_timeout = Seconds(20.5),
      .marks = {.configuration = "login1:/logs",
                .run = "r1",
                .process = "4711 90123",
                .engine = "engine-0"},
  };
  EXPECT_EQ(to_json(submission),
            R"({"entrypoint":"exec /opt/batchproxy engine-agent 'it'\\''s $HOME'",)"
            R"("submission_id":"batchproxy-r1-engine-0-1",)"
            R"("entrypoint_num_gpus":2,"entrypoint_num_cpus":0,)"
            R"("runtime_env":{"env_vars":{"BATCHPROXY_AGENT_TOKEN":"secret",)"
            R"("RAY_JOB_STOP_WAIT_TIME_S":"21"}},)"
            R"("metadata":{"batchproxy_configuration":"login1:/logs","batchproxy_run":"r1",)"
            R"("batchproxy_process":"4711 90123","batchproxy_engine":"engine-0"}})");
}

// Without any resource Ray runs a job on the head node, and hides none of its GPUs.
TEST(RaySubmissionJson, AsksForACoreWhereItNeedsNoGpu) {
  EXPECT_THAT(to_json(RaySubmission{}), HasSubstr(R"("entrypoint_num_cpus":1)"));
}

TEST(ParseRayJob, ReadsStateNodeAndMarks) {
  const OrError<RayJob> running = parse_ray_job(kRunning);
  ASSERT_TRUE(running) << running.error().text;
  EXPECT_EQ(running->id, "batchproxy-r1-engine-0-1");
  EXPECT_EQ(running->state, RayState::kRunning);
  EXPECT_EQ(running->node, "10.0.0.7");
  EXPECT_EQ(running->marks, (RayMarks{.configuration = "login1:/logs",
                                      .run = "r1",
                                      .process = "4711 90123",
                                      .engine = "engine-0"}));
  const OrError<RayJob> pending = parse_ray_job(kPending);
  ASSERT_TRUE(pending) << pending.error().text;
  EXPECT_EQ(pending->state, RayState::kPending);
  EXPECT_EQ(pending->node, "");
}

TEST(ParseRayJob, RefusesWhatIsNone) {
  EXPECT_THAT(parse_ray_job("<html>hello").error().text, HasSubstr("<html>hello"));
  EXPECT_FALSE(parse_ray_job("[]"));
  EXPECT_FALSE(parse_ray_job(job_body("DANCING", R"("message": "")")));
}

TEST(RayStates, ThreeAreTheEnd) {
  EXPECT_FALSE(is_over(RayState::kPending));
  EXPECT_FALSE(is_over(RayState::kRunning));
  EXPECT_TRUE(is_over(RayState::kStopped));
  EXPECT_TRUE(is_over(RayState::kSucceeded));
  EXPECT_TRUE(is_over(RayState::kFailed));
}

// Drivers and other people's jobs are in the list, too.
TEST(ParseRayJobs, GivesThoseOfBatchproxy) {
  const std::string driver = R"({"type": "DRIVER", "job_id": "01", "submission_id": null,
    "status": "RUNNING", "metadata": null})";
  const std::string others = R"({"type": "SUBMISSION", "submission_id": "raysubmit_1",
    "status": "RUNNING", "metadata": {"team": "x"}})";
  const auto jobs = parse_ray_jobs("[" + driver + "," + others + "," + kRunning + "]");
  ASSERT_TRUE(jobs) << jobs.error().text;
  ASSERT_EQ(jobs->size(), 1u);
  EXPECT_EQ(jobs->front().id, "batchproxy-r1-engine-0-1");
  EXPECT_TRUE(parse_ray_jobs("[]")->empty());
  EXPECT_FALSE(parse_ray_jobs(kRunning));
}

TEST(Leftovers, AreOfTheSameConfigurationWhoseProcessHasEnded) {
  const auto job = [](const std::string& id, const std::string& configuration,
                      const std::string& run, const std::string& process) {
    return RayJob{.id = id,
                  .marks = {.configuration = configuration, .run = run, .process = process}};
  };
  const std::vector<RayJob> jobs = {job("ours", "a", "r2", "2 2"), job("left", "a", "r1", "1 1"),
                                    job("neighbour", "a", "r3", "3 3"),
                                    job("other", "b", "r1", "1 1")};
  const auto lives = [](const std::string& process) { return process != "1 1"; };
  std::vector<std::string> found;
  for (const RayJob& one : leftovers(jobs, {.configuration = "a", .run = "r2"}, lives)) {
    found.push_back(one.id);
  }
  EXPECT_THAT(found, ElementsAre("left"));
}

TEST(ParseRayGpus, ReadsWhatTheAutoscalerCounts) {
  const auto gpus = parse_ray_gpus(R"({"result": true, "data": {"clusterStatus":
    {"loadMetricsReport": {"usage": {"GPU": [14.0, 16.0], "CPU": [0.0, 8.0]}}}}})");
  ASSERT_TRUE(gpus);
  EXPECT_EQ(gpus->all, 16);
  EXPECT_EQ(gpus->used, 14);
  const auto none = parse_ray_gpus(
      R"({"data": {"clusterStatus": {"loadMetricsReport": {"usage": {"CPU": [0.0, 8.0]}}}}})");
  ASSERT_TRUE(none);
  EXPECT_EQ(none->all, 0);
  EXPECT_FALSE(parse_ray_gpus(R"({"data": {"clusterStatus": null}})"));
  EXPECT_FALSE(parse_ray_gpus("no"));
}

TEST(DescribeWait, SaysHowLongForWhatAndWhatThereIs) {
  EXPECT_EQ(describe_wait(2, seconds(40), RayGpus{.all = 16, .used = 15}),
            "its job has been PENDING in Ray for 40 s: it needs 2 GPUs of one node; the cluster has "
            "16, 1 of them free");
  EXPECT_EQ(describe_wait(1, seconds(5), RayGpus{}),
            "its job has been PENDING in Ray for 5.0 s: it needs 1 GPU of one node; the cluster has "
            "none");
  EXPECT_EQ(describe_wait(0, seconds(5), std::nullopt),
            "its job has been PENDING in Ray for 5.0 s: it needs a CPU of one node");
}

TEST(DescribeEnd, TellsTheLastLineOfAFailure) {
  RayJob job{.id = "j", .state = RayState::kFailed};
  job.message =
      "Job supervisor actor died: The actor died unexpectedly before finishing this task.\n"
      "\tpid: 25446\n\tthe actor's node was terminated unexpectedly\n";
  EXPECT_EQ(describe_end(job),
            "Ray says of its job j: the actor's node was terminated unexpectedly");
  job.state = RayState::kStopped;
  EXPECT_EQ(describe_end(job), "Ray stopped its job j");
  job.state = RayState::kSucceeded;
  EXPECT_EQ(describe_end(job), "its job j has ended");
}

TEST(ExplainRefusal, SaysWhatToDoAboutAToken) {
  const RayRefusal missing = explain_refusal(kUrl, 401, "Unauthorized", false);
  EXPECT_THAT(missing.sentence,
              HasSubstr("Ray at http://head:8265 asks for a token, and there is none"));
  EXPECT_THAT(missing.sentence, HasSubstr("launcher.ray_token_file"));
  EXPECT_TRUE(missing.is_hopeless);
  const RayRefusal wrong = explain_refusal(kUrl, 403, "Forbidden", true);
  EXPECT_THAT(wrong.sentence, HasSubstr("does not take this token (it answers 403)"));
  EXPECT_THAT(wrong.sentence, HasSubstr("ray get-auth-token"));
  EXPECT_TRUE(wrong.is_hopeless);
}

TEST(ExplainRefusal, KnowsAServerWithoutRaysJobs) {
  const RayRefusal refusal = explain_refusal(kUrl, 404, "404: Not Found", false);
  EXPECT_THAT(refusal.sentence, HasSubstr("there are no Ray Jobs at http://head:8265"));
  EXPECT_THAT(refusal.sentence, HasSubstr("ray[default]"));
}

// Ray passes tracebacks on; what counts is their last line.
TEST(ExplainRefusal, TellsTheEndOfATraceback) {
  const RayRefusal refusal = explain_refusal(
      kUrl, 500, "Traceback (most recent call last):\n  File x\nRuntimeError: no agent\n.\n", true);
  EXPECT_EQ(refusal.sentence, "Ray at http://head:8265 answers 500: RuntimeError: no agent");
  EXPECT_FALSE(refusal.is_hopeless);
  EXPECT_THAT(explain_refusal(kUrl, 503, "", true).sentence, Not(HasSubstr(": \n")));
}

TEST(ExplainSilence, NamesTheDashboardsAddress) {
  const std::string sentence = explain_silence(kUrl, "Connection refused").sentence;
  EXPECT_THAT(sentence, HasSubstr("no Ray answers at http://head:8265: Connection refused"));
  EXPECT_THAT(sentence, HasSubstr("--dashboard-host=0.0.0.0"));
}

TEST(ProblemOfVersion, IsNoneForAKnownOne) {
  EXPECT_FALSE(problem_of_version(kUrl, R"({"version": "4", "ray_version": "2.60.0"})"));
  EXPECT_FALSE(problem_of_version(kUrl, R"({"ray_version": "3.0.0.dev0"})"));
}

TEST(ProblemOfVersion, NamesAnOldOneAndWhatIsNoRay) {
  const auto old = problem_of_version(kUrl, R"({"version": "1", "ray_version": "1.13.0"})");
  ASSERT_TRUE(old);
  EXPECT_THAT(old->sentence, HasSubstr("Ray at http://head:8265 is 1.13.0"));
  EXPECT_THAT(old->sentence, HasSubstr("or newer"));
  const auto stranger = problem_of_version(kUrl, R"({"version": "0.9"})");
  ASSERT_TRUE(stranger);
  EXPECT_THAT(stranger->sentence, HasSubstr("is no Ray"));
  EXPECT_TRUE(problem_of_version(kUrl, "<html>"));
}

TEST(IsKnownAlready, SeesARepeatedSubmission) {
  EXPECT_TRUE(is_known_already(500,
                               "RuntimeError: Request failed with status code 400: Traceback\n"
                               "ValueError: Job with submission_id j1 already exists. Please use a "
                               "different submission_id.\n.\n"));
  EXPECT_FALSE(is_known_already(500, "RuntimeError: no agent"));
  EXPECT_FALSE(is_known_already(200, "already exists"));
}

class FindRayToken : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& text) const {
    std::string path = folder_.file(name);
    std::ofstream(path) << text;
    return path;
  }

  const TemporaryDirectory folder_;
};

TEST_F(FindRayToken, IsOfTheFileBeforeTheVariables) {
  const std::string own = file("own", "from-file\n");
  const Environment environment{{"RAY_AUTH_TOKEN", "from-variable"},
                                {"RAY_AUTH_TOKEN_PATH", file("other", "from-path")}};
  EXPECT_EQ(find_ray_token(own, environment)->text, "from-file");
  EXPECT_EQ(find_ray_token("", environment)->text, "from-variable");
  EXPECT_EQ(find_ray_token("", {{"RAY_AUTH_TOKEN_PATH", file("other", "from-path")}})->text,
            "from-path");
}

TEST_F(FindRayToken, IsWhereRayKeepsItByItself) {
  const std::string home = folder_.file("");
  EXPECT_EQ(find_ray_token("", {{"HOME", home}})->text, "");
  std::filesystem::create_directory(folder_.file(".ray"));
  file(".ray/auth_token", "usual\n");
  EXPECT_EQ(find_ray_token("", {{"HOME", home}})->text, "usual");
  EXPECT_EQ(find_ray_token("", {})->text, "");
}

TEST_F(FindRayToken, MustBeReadableAndFit) {
  EXPECT_THAT(find_ray_token("/nowhere/token", {}).error().text,
              HasSubstr("cannot read /nowhere/token (launcher.ray_token_file)"));
  EXPECT_THAT(find_ray_token(file("empty", "\n"), {}).error().text, HasSubstr("is empty"));
  EXPECT_THAT(find_ray_token(file("two", "a\nb\n"), {}).error().text, HasSubstr("on one line"));
  EXPECT_THAT(find_ray_token("", {{"RAY_AUTH_TOKEN_PATH", "/nowhere"}}).error().text,
              HasSubstr("RAY_AUTH_TOKEN_PATH"));
}

}  // namespace
}  // namespace batchproxy
