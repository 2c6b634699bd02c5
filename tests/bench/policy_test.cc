// tests/bench/policy_test.cc - the virtual world in which policies are compared, and what the
// default policy must reach there.
#include <cmath>
#include <map>
#include <set>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/policy/bound.h"
#include "bench/policy/grid.h"
#include "bench/policy/replay.h"
#include "bench/policy/report.h"

namespace batchproxy::bench {
namespace {

using testing::DoubleNear;

constexpr Policy kOnlyDefault[] = {Policy::kDefault};

std::vector<PromptRequest> requests(Workload kind, int sharing, std::size_t count) {
  WorkloadOptions options;
  options.kind = kind;
  options.sharing = sharing;
  options.count = count;
  return make_requests(options);
}

WorldOptions world(std::size_t servers, std::size_t workers) {
  WorldOptions options;
  options.servers = servers;
  options.workers = workers;
  return options;
}

Measurement run(const WorldOptions& options, const std::vector<PromptRequest>& asked,
                Policy policy) {
  const auto router = make_router(policy, asked, options.servers, traits_of(options));
  return run_world(options, asked, *router);
}

bool begin_alike(const PromptRequest& a, const PromptRequest& b) {
  for (const std::uint64_t hash : a.prefix.hashes()) {
    for (const std::uint64_t other : b.prefix.hashes()) {
      if (hash == other) return true;
    }
  }
  return false;
}

TEST(PolicyWorkload, SharesPassagesInKeysAndBlocksAlike) {
  const auto asked = requests(Workload::kChoices, 4, 64);
  std::size_t pairs = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      const bool same = asked[i].passage == asked[j].passage;
      pairs += same;
      EXPECT_EQ(begin_alike(asked[i], asked[j]), same);
      EXPECT_EQ(asked[i].blocks == asked[j].blocks, same);
    }
  }
  EXPECT_EQ(pairs, 64u / 4 * 6);
}

TEST(PolicyWorkload, IsShuffledOnlyWithinItsWindow) {
  WorkloadOptions options;
  options.sharing = 4;
  options.window = 16;
  options.count = 64;
  const auto asked = make_requests(options);
  bool moved = false;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    EXPECT_EQ(asked[i].passage / 4, i / 16);
    moved |= asked[i].passage != i / 4;
  }
  EXPECT_TRUE(moved);
}

TEST(PolicyWorld, GivesALoneWorkerExactlyWhatTheBoundSays) {
  const auto asked = requests(Workload::kChoices, 1, 500);
  const WorldOptions options = world(1, 1);
  EXPECT_THAT(run(options, asked, Policy::kDefault).throughput / throughput_bound(options, asked),
              DoubleNear(1, 0.03));
}

TEST(PolicyWorld, ASlowServerTakesSoManyTimesAsLong) {
  const auto asked = requests(Workload::kChoices, 1, 1000);
  WorldOptions options = world(1, 32);
  const double usual = run(options, asked, Policy::kDefault).throughput;
  options.slowdown = 2;
  EXPECT_THAT(run(options, asked, Policy::kDefault).throughput / usual, DoubleNear(0.5, 0.01));
}

TEST(PolicyWorld, ThinkingWorkersAskLess) {
  const auto asked = requests(Workload::kChoices, 1, 1000);
  WorldOptions options = world(4, 2);
  const double lone = 2 / run(options, asked, Policy::kDefault).throughput;
  options.think_seconds = 0.3;
  EXPECT_THAT(2 / run(options, asked, Policy::kDefault).throughput, DoubleNear(lone + 0.3, 0.03));
}

// Two implementations of one policy, so each checks the other.
TEST(PolicyWorld, PassThroughIsLeastOutstanding) {
  const auto asked = requests(Workload::kChoices, 4, 2000);
  for (const std::size_t workers : {4U, 64U}) {
    const WorldOptions options = world(4, workers);
    const double through = run(options, asked, Policy::kPassThrough).throughput;
    const double plain = run(options, asked, Policy::kLeastOutstanding).throughput;
    EXPECT_THAT(through / plain, DoubleNear(1, 0.02)) << workers;
  }
}

TEST(PolicyWorkload, DrawsGroupsOfEverySizeBetweenTheLeastAndTheMost) {
  WorkloadOptions options;
  options.sharing = 2;
  options.most_sharing = 5;
  options.count = 2000;
  std::map<std::uint64_t, std::size_t> sizes;  // by passage
  for (const PromptRequest& request : make_requests(options)) ++sizes[request.passage];
  std::set<std::size_t> different;
  for (const auto& [passage, size] : sizes) different.insert(size);
  different.erase(1);  // of the last, which may be cut off
  EXPECT_THAT(different, testing::ElementsAre(2, 3, 4, 5));
}

TEST(PolicyWorkload, OfTwoJobsEveryOtherRequestIsTheOthers) {
  WorkloadOptions options;
  options.sharing = 4;
  options.count = 400;
  options.beside = Workload::kGeneration;
  const auto asked = make_requests(options);
  ASSERT_EQ(asked.size(), 400u);
  for (std::size_t i = 0; i < asked.size(); i += 2) {
    EXPECT_TRUE(asked[i].short_answer);
    EXPECT_FALSE(asked[i + 1].short_answer);
    EXPECT_NE(asked[i].passage, asked[i + 1].passage);
  }
}

// As their documentation says: a passage stays where it is, unless that backend is far busier.
TEST(PolicyRouters, KeepAPassageTogether) {
  const auto asked = requests(Workload::kChoices, 4, 2000);
  for (const Policy policy : {Policy::kCacheAware, Policy::kPrefixHash}) {
    const double hits = run(world(4, 16), asked, policy).hit_rate;
    EXPECT_GT(hits, 1.5 * run(world(4, 16), asked, Policy::kRoundRobin).hit_rate)
        << name_of(policy);
  }
}

TEST(PolicyWorld, TheClassicCollectorWaitsWhenWorkersAreFewerThanABatch) {
  const auto asked = requests(Workload::kChoices, 1, 500);
  EXPECT_LT(run(world(4, 8), asked, Policy::kFixed).throughput,
            0.5 * run(world(4, 8), asked, Policy::kPassThrough).throughput);
}

TEST(PolicyGrid, HasAtLeastTwoHundredDifferentCells) {
  std::vector<Row> rows;
  for (const Cell& cell : default_grid())
    rows.push_back({cell, Policy::kDefault, {}, 1, 1, {}, {}, {}});
  const boost::json::value parsed = boost::json::parse(to_json(rows));
  std::set<std::string> different;
  for (const auto& cell : parsed.at("cells").as_array())
    different.insert(boost::json::serialize(cell));
  EXPECT_GE(different.size(), 200u);
  EXPECT_EQ(different.size(), rows.size());
}

TEST(PolicyGrid, DoesNotDependOnHowManyCellsRunAtATime) {
  std::vector<Cell> cells = small_grid();
  cells.resize(3);
  for (Cell& cell : cells) cell.workload.count = 300;
  const auto alone = run_grid(cells, kOnlyDefault, 1);
  const auto together = run_grid(cells, kOnlyDefault, 3);
  EXPECT_EQ(to_json(alone), to_json(together));
}

TEST(PolicyGrid, TheDefaultPolicyKeepsEveryPromiseInTheSmallGrid) {
  const auto rows = run_grid(small_grid(), kOnlyDefault, 2);
  const auto promises = check_promises(rows);
  EXPECT_EQ(promises.size(), 12u);
  for (const Promise& promise : promises) {
    EXPECT_TRUE(promise.kept()) << to_text(std::span(&promise, 1));
  }
  for (const Row& row : rows)
    EXPECT_LE(row.fraction_of_bound(), 1.05) << to_text(std::span(&row, 1));
}

TEST(PolicyReport, SeesABrokenPromise) {
  Row row;
  row.measured.throughput = 97;
  row.pass_through = 100;
  row.bound = 200;
  const auto promises = check_promises(std::span(&row, 1));
  ASSERT_EQ(promises.size(), 1u);
  EXPECT_FALSE(promises[0].kept());
  EXPECT_THAT(to_text(promises), testing::HasSubstr("| BROKEN | 0.98 of sending all at once"));
}

TEST(PolicyReport, ExplainsItsWords) {
  Row row;
  row.measured.throughput = 97;
  row.pass_through = 100;
  row.bound = 200;
  row.cell.workload.sharing = 4;
  row.cell.workload.beside = Workload::kGeneration;
  const std::string text = to_text(std::span(&row, 1));
  EXPECT_THAT(text,
              testing::HasSubstr(
                  "| A100, 4 x TP2, mcqa, 4 to a passage, beside gen, 64 workers | default |"));
  for (const char* words :
       {"- mcqa: multiple choice", "- gen: free text", "- default: batchproxy"}) {
    EXPECT_THAT(text, testing::HasSubstr(words));
  }
  EXPECT_THAT(text, testing::Not(testing::HasSubstr("- tiny:")));  // does not occur
}

TEST(PolicyReport, NamesTheBestTopologyForEachNumberOfWorkers) {
  std::vector<Row> rows(4);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].cell.world.workers = i < 2 ? 8 : 128;
    rows[i].cell.world.servers = i % 2 == 0 ? 1 : 8;
    rows[i].cell.world.tensor_parallel = i % 2 == 0 ? 8 : 1;
  }
  rows[0].measured.throughput = 20;
  rows[1].measured.throughput = 10;
  rows[2].measured.throughput = 30;
  rows[3].measured.throughput = 90;
  EXPECT_THAT(best_topologies(rows),
              testing::AllOf(testing::HasSubstr("- 8 workers on A100: 1 x TP8, 20.0 questions"),
                             testing::HasSubstr("- 128 workers on A100: 8 x TP1, 90.0 questions")));
}

TEST(PolicyGrid, MeansOverRunsAreOfEachCell) {
  std::vector<Row> rows(4);  // two cells, twice
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].cell.world.workers = i % 2 == 0 ? 8 : 128;
    rows[i].measured.throughput = static_cast<double>(10 * (i + 1));
    rows[i].pass_through = static_cast<double>(i + 1);
    rows[i].best_router = 5;
    if (i != 3) rows[i].unmerged = 7;
  }
  const std::vector<Row> means = mean_of_runs(rows, 2);
  ASSERT_EQ(means.size(), 2u);
  EXPECT_EQ(means[0].cell.world.workers, 8u);
  EXPECT_EQ(means[0].measured.throughput, 20);  // of 10 and 30
  EXPECT_EQ(means[1].measured.throughput, 30);  // of 20 and 40
  EXPECT_EQ(means[1].pass_through, 3);
  EXPECT_EQ(means[0].best_router, 5);
  EXPECT_EQ(means[0].unmerged, 7);
  EXPECT_EQ(means[1].unmerged, std::nullopt);  // one run had none
}

TEST(PolicyReport, GivesEveryFigureInJson) {
  Row row;
  row.measured.throughput = 50;
  row.pass_through = 40;
  row.bound = 100;
  row.best_plain = 25;
  const boost::json::value parsed = boost::json::parse(to_json(std::span(&row, 1)));
  const auto& cell = parsed.at("cells").at(0).as_object();
  EXPECT_EQ(cell.at("hardware"), "a100");
  EXPECT_EQ(cell.at("shape"), "4xTP2");
  EXPECT_EQ(cell.at("workload"), "mcqa");
  EXPECT_EQ(cell.at("policy"), "default");
  EXPECT_EQ(cell.at("ratio_to_passthrough"), 1.25);
  EXPECT_EQ(cell.at("fraction_of_bound"), 0.5);
  EXPECT_EQ(cell.at("ratio_to_best_plain"), 2.0);
  EXPECT_FALSE(cell.contains("ratio_to_unmerged"));
}

// --- a user's own questions
// -----------------------------------------------------------------------

ReadyQuestion ready(const std::string& prompt, int max_tokens) {
  Question question;
  question.path = "/v1/completions";
  question.body =
      R"({"prompt":")" + prompt + R"(","max_tokens":)" + std::to_string(max_tokens) + "}";
  question.lacks_model = true;
  return make_ready(question, {});
}

std::string long_text(const std::string& word) {
  std::string text;
  for (int i = 0; i < 400; ++i) text += word + " ";
  return text;
}

TEST(Replay, KeepsLengthsAndWhatQuestionsShare) {
  const std::string passage = long_text("passage");
  const std::vector<ReadyQuestion> questions{ready(passage + "One?", 1), ready(passage + "Two?", 1),
                                             ready(long_text("other") + "Three?", 40)};
  const auto asked = replay(questions, 3, 4096);
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_EQ(asked[0].passage, asked[1].passage);
  EXPECT_NE(asked[0].passage, asked[2].passage);
  EXPECT_EQ(asked[0].blocks[10], asked[1].blocks[10]);
  EXPECT_NE(asked[0].blocks[10], asked[2].blocks[10]);
  EXPECT_TRUE(asked[0].short_answer);
  EXPECT_FALSE(asked[2].short_answer);
  EXPECT_EQ(asked[0].output_tokens, 1);
  EXPECT_GT(asked[0].prompt_tokens, 400);
}

TEST(Replay, IsNewToTheCachesEachTimeRound) {
  const std::vector<ReadyQuestion> questions{ready(long_text("passage") + "One?", 1)};
  const auto asked = replay(questions, 2, 4096);
  ASSERT_EQ(asked.size(), 2u);
  EXPECT_NE(asked[0].blocks[0], asked[1].blocks[0]);
  EXPECT_NE(asked[0].passage, asked[1].passage);
}

TEST(Replay, LeavesOutWhatAnEngineWouldRefuse) {
  const std::vector<ReadyQuestion> questions{ready(long_text("long"), 1), ready("Short?", 1)};
  EXPECT_EQ(replay(questions, 2, 100).size(), 1u);
  EXPECT_THROW(replay(std::span(questions).first(1), 1, 100), UnusableWorkload);
}

TEST(Replay, KnowsNoEmbeddings) {
  Question question;
  question.path = "/v1/embeddings";
  question.body = R"({"input":"x"})";
  const std::vector<ReadyQuestion> questions{make_ready(question, {})};
  EXPECT_THROW(replay(questions, 1, 4096), UnusableWorkload);
}

TEST(PolicyWorld, HasTheLimitsThatItIsGiven) {
  WorldOptions options = world(1, 8);
  options.max_num_seqs = 7;
  options.max_num_batched_tokens = 512;
  options.prefix_caching = false;
  EXPECT_EQ(limits_of(options).max_num_seqs, 7);
  EXPECT_EQ(limits_of(options).max_num_batched_tokens, 512);
  const auto asked = requests(Workload::kChoices, 4, 400);
  EXPECT_EQ(run(options, asked, Policy::kDefault).hit_rate, 0);
}

}  // namespace
}  // namespace batchproxy::bench
