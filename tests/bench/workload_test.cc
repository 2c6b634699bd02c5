// tests/bench/workload_test.cc - what a load run asks, in which order and when.
#include "bench/load/workload.h"

#include <cmath>
#include <fstream>
#include <set>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/load/arrivals.h"
#include "bench/load/synthetic.h"
#include "tests/launcher/temporary_directory.h"

namespace batchproxy::bench {
namespace {

namespace json = boost::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string body_of(const ReadyQuestion& question, const std::string& salt = "",
                    const std::string& id = "") {
  std::string body;
  const std::string salt_line = as_first_line(salt);
  const std::string id_line = as_first_line(id);
  for (const std::string_view part : question.body(salt_line, id_line)) body += part;
  return body;
}

json::value parsed_body(const ReadyQuestion& question, const std::string& salt = "",
                        const std::string& id = "") {
  return json::parse(body_of(question, salt, id));
}

Question plain(const std::string& body, const std::string& path = "/v1/completions") {
  Question question;
  question.path = path;
  question.body = body;
  return question;
}

std::string file_with(const std::string& text) {
  static const TemporaryDirectory folder;  // tests run beside each other
  const std::string file = folder.file("workload.jsonl");
  std::ofstream(file) << text;
  return file;
}

std::string refusal_of(const std::string& file) {
  try {
    load_workload(file, {});
  } catch (const UnusableWorkload& error) {
    return error.what();
  }
  return "nothing was refused";
}

// --- from a file --------------------------------------------------------------------------------

TEST(Workload, TheDemosQuestionsHaveLabels) {
  const auto questions = load_workload(BATCHPROXY_SOURCE_DIR "/configs/questions.jsonl", {});
  EXPECT_GE(questions.size(), 120u);
  std::set<std::string> prompts;
  for (const ReadyQuestion& question : questions) {
    EXPECT_EQ(question.label.size(), 1u);
    EXPECT_TRUE(question.lacks_model);
    prompts.insert(body_of(question));
  }
  EXPECT_EQ(prompts.size(), questions.size());
}

TEST(Workload, TakesEachFormatThatJobsTake) {
  const std::string batch =
      R"({"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[]}})";
  EXPECT_TRUE(load_workload(file_with(batch), {}).front().chat);
  EXPECT_EQ(load_workload(file_with("{\"prompt\":\"hello\"}\n"), {}).front().path,
            "/v1/completions");
  Manner csv;
  csv.defaults.column = "q";
  EXPECT_THAT(body_of(load_workload(file_with("id,q\n1,hello\n"), csv).front()),
              HasSubstr("hello"));
}

TEST(Workload, NamesTheFileAndTheLinesAtFault) {
  EXPECT_THAT(refusal_of("/no/such/file.jsonl"),
              AllOf(StartsWith("/no/such/file.jsonl cannot be read"), HasSubstr("No such file")));
  const std::string good = "{\"prompt\":\"x\"}\n";
  std::string text;
  for (int i = 0; i < 16; ++i) text += good;
  EXPECT_THAT(refusal_of(file_with(text + "{\"prompt\":\n" + good)),
              AllOf(HasSubstr("workload.jsonl:17: not JSON"), HasSubstr("Nothing was asked")));
  EXPECT_THAT(refusal_of(file_with("")), HasSubstr("holds no question"));
}

TEST(Workload, NamesALabelThatIsNoOption) {
  const auto question = [](const std::string& label) {
    return R"({"question":"q","options":["(A) x","(B) y"],"label":")" + label + "\"}\n";
  };
  EXPECT_THAT(refusal_of(file_with(question("A") + question("C"))),
              HasSubstr("workload.jsonl:2: \"label\" is 'C', which is none of the options A to B"));
  EXPECT_THAT(refusal_of(file_with(question("b"))), HasSubstr("none of the options"));
  EXPECT_EQ(load_workload(file_with(question("B")), {}).front().label, "B");
}

// --- what is sent -------------------------------------------------------------------------------

TEST(ReadyQuestion, HasTheSaltInFrontAndTheIdBeforeTheLastLine) {
  const ReadyQuestion question =
      make_ready(plain(R"({"prompt":"Context\nQuestion\nAnswer:"})"), {});
  EXPECT_EQ(parsed_body(question).at("prompt"), "Context\nQuestion\nAnswer:");
  EXPECT_EQ(parsed_body(question, "run \"2\"", "[7]").at("prompt"),
            "run \"2\"\nContext\nQuestion\n[7]\nAnswer:");
}

TEST(ReadyQuestion, OfAChatHasThemInItsFirstAndLastMessage) {
  const ReadyQuestion question = make_ready(
      plain(
          R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"u"}]}]})",
          "/v1/chat/completions"),
      {});
  const json::value body = parsed_body(question, "salt", "[7]");
  EXPECT_EQ(body.at("messages").at(0).at("content"), "salt\ns");
  EXPECT_EQ(body.at("messages").at(1).at("content").at(0).at("text"), "[7]\nu");
}

TEST(ReadyQuestion, WithoutATextIsSentAsItIs) {
  const ReadyQuestion question = make_ready(plain(R"({"prompt":[1,2,3]})"), {});
  EXPECT_FALSE(question.has_places);
  EXPECT_EQ(body_of(question, "salt", "[7]"), R"({"prompt":[1,2,3]})");
}

TEST(ReadyQuestion, AsksForStreamsAndEchoesWhereTheyExist) {
  Manner manner;
  manner.stream = manner.echo = true;
  const ReadyQuestion completion = make_ready(plain(R"({"prompt":"p"})"), manner);
  EXPECT_TRUE(completion.streams && completion.echoes);
  EXPECT_TRUE(parsed_body(completion).at("stream_options").at("include_usage").as_bool());
  EXPECT_TRUE(parsed_body(completion).at("echo").as_bool());
  const ReadyQuestion chat = make_ready(
      plain(R"({"messages":[{"role":"user","content":"c"}]})", "/v1/chat/completions"), manner);
  EXPECT_TRUE(chat.streams);
  EXPECT_FALSE(chat.echoes);
  const ReadyQuestion embedding = make_ready(plain(R"({"input":"x"})", "/v1/embeddings"), manner);
  EXPECT_FALSE(embedding.streams || embedding.echoes);
}

TEST(ReadyQuestion, IsGivenTheModelThatItLacks) {
  Question question = plain(R"({"prompt":"p"})");
  question.lacks_model = true;
  std::vector<ReadyQuestion> questions{make_ready(question, {}),
                                       make_ready(plain(R"({"model":"own","prompt":"p"})"), {})};
  give_model("some \"model\"", questions);
  EXPECT_EQ(parsed_body(questions[0], "s").at("model"), "some \"model\"");
  EXPECT_EQ(parsed_body(questions[1]).at("model"), "own");
}

TEST(ChosenLetter, TakesTheFirstThatStandsAlone) {
  EXPECT_EQ(chosen_letter(" B", 4), 'B');
  EXPECT_EQ(chosen_letter("(C) because", 4), 'C');
  EXPECT_EQ(chosen_letter("Answer: D.", 4), 'D');
  EXPECT_EQ(chosen_letter("Because", 4), '\0');
  EXPECT_EQ(chosen_letter("E", 4), '\0');
  EXPECT_EQ(chosen_letter("", 4), '\0');
}

// --- synthetic ----------------------------------------------------------------------------------

std::size_t words_in(const std::string& text) {
  std::size_t words = 1;
  for (const char c : text) words += c == ' ' || c == '\n' ? 1 : 0;
  return words;
}

TEST(Synthetic, HasTheLengthsAndTheSharingThatWereAskedFor) {
  SyntheticOptions options;
  options.questions = 8;
  options.prompt_tokens = 50;
  options.shared_tokens = 40;
  options.output_tokens = 7;
  options.sharing = 4;
  const auto questions = make_synthetic(options, {});
  ASSERT_EQ(questions.size(), 8u);
  std::set<std::string> shared, whole;
  for (const ReadyQuestion& question : questions) {
    const json::value body = parsed_body(question);
    const auto prompt = json::value_to<std::string>(body.at("prompt"));
    EXPECT_EQ(words_in(prompt), 50u);
    EXPECT_EQ(body.at("max_tokens"), 7);
    shared.insert(prompt.substr(0, prompt.find('\n')));
    whole.insert(prompt);
  }
  EXPECT_EQ(shared.size(), 2u);
  EXPECT_EQ(whole.size(), 8u);
  EXPECT_EQ(body_of(make_synthetic(options, {})[3]), body_of(questions[3]));  // the same again
}

TEST(Synthetic, IsAskedAsAChat) {
  SyntheticOptions options;
  options.questions = 1;
  options.chat = true;
  const auto questions = make_synthetic(options, {});
  EXPECT_TRUE(questions.front().chat);
  EXPECT_EQ(parsed_body(questions.front()).at("messages").at(0).at("role"), "user");
}

TEST(Synthetic, CannotShareMoreThanThereIs) {
  SyntheticOptions options;
  options.questions = 1;
  options.prompt_tokens = options.shared_tokens = 10;
  EXPECT_THROW(make_synthetic(options, {}), UnusableWorkload);
}

// --- order and arrivals -------------------------------------------------------------------------

std::vector<std::size_t> order(std::size_t questions, std::size_t window, std::size_t most) {
  QuestionOrder turns(questions, window, most);
  std::vector<std::size_t> asked;
  while (const auto turn = turns.next()) asked.push_back(turn->question);
  return asked;
}

TEST(QuestionOrder, GoesRoundInFileOrder) {
  EXPECT_EQ(order(3, 0, 7), (std::vector<std::size_t>{0, 1, 2, 0, 1, 2, 0}));
}

TEST(QuestionOrder, CountsRounds) {
  QuestionOrder turns(2, 0, std::nullopt);
  std::vector<std::size_t> rounds;
  for (int i = 0; i < 5; ++i) rounds.push_back(turns.next()->round);
  EXPECT_EQ(rounds, (std::vector<std::size_t>{0, 0, 1, 1, 2}));
}

TEST(QuestionOrder, MixesWithinWindowsAndAlwaysAlike) {
  const auto mixed = order(100, 10, 100);
  EXPECT_NE(mixed, order(100, 0, 100));
  EXPECT_EQ(mixed, order(100, 10, 100));
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(mixed[i] / 10, i / 10);
  EXPECT_EQ(std::set<std::size_t>(mixed.begin(), mixed.end()).size(), 100u);
}

TEST(ArrivalTimes, AreEvenlyApartWhenConstant) {
  ArrivalTimes arrivals(Arrivals::kConstant, 4, 1);
  for (int i = 0; i < 100; ++i) EXPECT_DOUBLE_EQ(arrivals.next(), i / 4.0);
}

// Gaps of a Poisson process: their mean is 1/rate, and so is their standard deviation. 20,000 gaps
// of a fixed seed: these figures never change.
TEST(ArrivalTimes, ComeByThePoissonProcess) {
  ArrivalTimes arrivals(Arrivals::kPoisson, 10, 7);
  double last = arrivals.next();
  EXPECT_EQ(last, 0);
  double sum = 0, squares = 0;
  constexpr int kGaps = 20'000;
  for (int i = 0; i < kGaps; ++i) {
    const double at = arrivals.next();
    ASSERT_GE(at, last);
    sum += at - last;
    squares += (at - last) * (at - last);
    last = at;
  }
  const double mean = sum / kGaps;
  EXPECT_NEAR(mean, 0.1, 0.003);
  EXPECT_NEAR(std::sqrt(squares / kGaps - mean * mean), 0.1, 0.003);
}

}  // namespace
}  // namespace batchproxy::bench
