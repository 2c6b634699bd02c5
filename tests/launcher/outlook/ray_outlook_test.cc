// tests/launcher/outlook/ray_outlook_test.cc - what a Ray's answers say to who would use it.
#include "launcher/outlook/ray_outlook.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace batchproxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

const char* const kUrl = "http://head:8265";
const char* const kNodes =
    R"({"result": true, "msg": "", "data": {"result": {"total": 3, "result": [
        {"node_id": "a", "node_ip": "10.0.0.1", "state": "ALIVE",
         "resources_total": {"CPU": 8.0, "GPU": 8.0, "memory": 1e10}},
        {"node_id": "b", "node_ip": "10.0.0.2", "state": "DEAD", "resources_total": {"GPU": 8.0}},
        {"node_id": "c", "node_ip": "10.0.0.3", "state": "ALIVE", "resources_total": {"CPU": 8}}]}}})";

RayReply good(std::string body) {
  return {200, std::move(body), std::nullopt};
}

std::string cluster(double used, double all) {
  return R"({"data": {"clusterStatus": {"loadMetricsReport": {"usage": {"GPU": [)" +
         std::to_string(used) + ", " + std::to_string(all) + "]}}}}}";
}

RayAnswers answers() {
  return {good(R"({"version": "4", "ray_version": "2.60.0"})"), good(kNodes), good(cluster(0, 8))};
}

std::vector<Finding> findings_of(const RayAnswers& answers, std::vector<std::size_t> needs) {
  return ray_findings(kUrl, true, answers, needs);
}

TEST(RayNodes, AreThoseAlive) {
  const auto nodes = parse_ray_nodes(kNodes);
  ASSERT_TRUE(nodes);
  ASSERT_THAT(*nodes, SizeIs(2));
  EXPECT_EQ(nodes->at(0).name, "10.0.0.1");
  EXPECT_EQ(nodes->at(0).gpus, 8u);
  EXPECT_EQ(nodes->at(1).gpus, 0u);
}

TEST(RayNodes, AreNotGuessed) {
  for (const char* body : {"", "{}", "[]", R"({"data": {"result": {"result": 7}}})"}) {
    EXPECT_FALSE(parse_ray_nodes(body)) << body;
  }
}

TEST(RayFindings, TellTheNodesAndThatAllFits) {
  const auto found = findings_of(answers(), {2, 2, 2, 2});
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].text, "Ray 2.60.0 answers at http://head:8265, and takes the token");
  EXPECT_EQ(found[1].verdict, CheckVerdict::kOk);
  EXPECT_EQ(found[1].text,
            "1 node of 8 GPUs, 1 node without GPUs (10.0.0.1, 10.0.0.3): 4 engines of 2 GPUs fit");
  EXPECT_EQ(ray_findings(kUrl, false, answers(), {2})[0].text,
            "Ray 2.60.0 answers at http://head:8265");
}

TEST(RayFindings, SayWhyItIsNoUse) {
  RayAnswers refused;
  refused.version.refusal = explain_refusal(kUrl, 403, "", true);
  refused.version.status = 403;
  const auto found = findings_of(refused, {2});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].verdict, CheckVerdict::kFailure);
  EXPECT_THAT(found[0].text, HasSubstr("does not take this token (it answers 403)"));
  EXPECT_THAT(findings_of({}, {2})[0].text,
              HasSubstr("Ray at http://head:8265 has not answered within 5 s"));
  RayAnswers old = answers();
  old.version.body = R"({"ray_version": "1.13.0"})";
  EXPECT_THAT(findings_of(old, {2})[0].text, HasSubstr("is 1.13.0, and cannot give GPUs"));
}

TEST(RayProblem, EndsAStartUnlessItMayPass) {
  using std::chrono::seconds;
  const auto problem = [](const RayReply& version) {
    return ray_problem(kUrl, version, seconds(30));
  };
  EXPECT_FALSE(problem(answers().version));
  RayReply none;
  EXPECT_TRUE(problem(none)->is_hopeless);
  EXPECT_THAT(problem(none)->text, HasSubstr("has not answered within 30 s"));
  none.refusal = explain_silence(kUrl, "Connection refused");
  EXPECT_TRUE(problem(none)->is_hopeless);
  RayReply refused{403, "", explain_refusal(kUrl, 403, "", true)};
  EXPECT_TRUE(problem(refused)->is_hopeless) << "the token";
  RayReply busy{503, "", explain_refusal(kUrl, 503, "", true)};
  ASSERT_TRUE(problem(busy));
  EXPECT_FALSE(problem(busy)->is_hopeless);
  EXPECT_TRUE(problem(good(R"({"ray_version": "1.13.0"})"))->is_hopeless);
}

TEST(RayFindings, WarnOfEnginesThatWait) {
  const auto large = findings_of(answers(), {16});
  EXPECT_EQ(large[1].verdict, CheckVerdict::kWarning);
  EXPECT_THAT(large[1].text, HasSubstr("no node has 16 GPUs"));
  RayAnswers busy = answers();
  busy.cluster = good(cluster(7, 8));
  const auto found = findings_of(busy, {2, 2});
  EXPECT_EQ(found[1].verdict, CheckVerdict::kWarning);
  EXPECT_THAT(found[1].text, HasSubstr("but only 1 of the GPUs are free now"));
}

TEST(RayFindings, GoWithoutNodesThatAreNotTold) {
  RayAnswers silent = answers();
  silent.nodes = {};
  EXPECT_THAT(findings_of(silent, {2})[1].text, HasSubstr("Ray does not tell its nodes"));
}

}  // namespace
}  // namespace batchproxy
