// tests/sim/answers_test.cc - answers depend on the prompt and the parameters, and on nothing else.
#include "backends/sim/model/answers.h"

#include <set>

#include <gtest/gtest.h>

namespace batchproxy::sim {
namespace {

constexpr std::string_view kQuestion =
    "Question: Which planet is largest?\n(A) Mars\n(B) Venus\n(C) Jupiter\n(D) Earth\nAnswer:";

Answer ask(std::string_view prompt, int max_tokens = 16) {
  AnswerRequest request;
  request.prompt = prompt;
  request.max_tokens = max_tokens;
  return answer(AnswerMode::kLetters, request);
}

TEST(Answers, AreTheSameEveryTime) {
  EXPECT_EQ(ask(kQuestion).text(), ask(kQuestion).text());
  EXPECT_EQ(ask("Tell me a story.", 300).text(), ask("Tell me a story.", 300).text());
  EXPECT_NE(ask("Tell me a story.", 300).text(), ask("Tell me a joke.", 300).text());
}

TEST(Answers, AMultipleChoiceAnswerBeginsWithAnOfferedLetter) {
  std::set<char> seen;
  for (int i = 0; i < 200; ++i) {
    std::string prompt = "Choose number ";
    prompt += std::to_string(i);
    prompt += ":\nA. x\nB. y\nC. z\nAnswer:";
    const Answer given = ask(prompt);
    ASSERT_EQ(given.text()[0], ' ');
    seen.insert(given.text()[1]);
    EXPECT_LE(given.tokens.size(), 16u);
  }
  EXPECT_EQ(seen, (std::set<char>{'A', 'B', 'C'}));
}

TEST(Answers, ALetterAloneIsOneToken) {
  const Answer given = ask(kQuestion, 1);
  EXPECT_EQ(given.tokens.size(), 1u);
  EXPECT_EQ(given.text().size(), 2u);
}

TEST(Answers, TheLetterDependsOnTheQuestionNotOnItsContext) {
  const std::string with_context = "Context: Jupiter is big.\n\n" + std::string(kQuestion);
  EXPECT_EQ(ask(with_context).text(), ask(kQuestion).text());
}

TEST(Answers, AChatAnswerHasNoLeadingBlank) {
  AnswerRequest request;
  request.prompt = kQuestion;
  request.chat = true;
  EXPECT_NE(answer(AnswerMode::kLetters, request).text()[0], ' ');
  request.prompt = "Hello.";
  EXPECT_NE(answer(AnswerMode::kLetters, request).text()[0], ' ');
}

TEST(Answers, ChoicesAndSeedsDiffer) {
  AnswerRequest request;
  request.prompt = "Tell me a story.";
  request.max_tokens = 50;
  std::set<std::string> texts;
  for (request.choice = 0; request.choice < 4; ++request.choice) {
    texts.insert(answer(AnswerMode::kLetters, request).text());
  }
  request.choice = 0;
  request.seed = 1234;
  texts.insert(answer(AnswerMode::kLetters, request).text());
  EXPECT_EQ(texts.size(), 5u);
}

TEST(Answers, EndByThemselvesOrAtMaxTokens) {
  const Answer whole = ask("Tell me a story.", 100000);
  EXPECT_EQ(whole.finish_reason, FinishReason::kStop);
  const int length = static_cast<int>(whole.tokens.size());
  const Answer cut = ask("Tell me a story.", length - 1);
  EXPECT_EQ(cut.finish_reason, FinishReason::kLength);
  EXPECT_TRUE(whole.text().starts_with(cut.text()));
}

TEST(Answers, IgnoreEosGoesOnToMaxTokens) {
  AnswerRequest request;
  request.prompt = kQuestion;
  request.max_tokens = 400;
  request.ignore_eos = true;
  const Answer given = answer(AnswerMode::kLetters, request);
  EXPECT_EQ(given.tokens.size(), 400u);
  EXPECT_EQ(given.finish_reason, FinishReason::kLength);
}

TEST(Answers, AStopStringCutsTheTextButItsTokensWereGenerated) {
  const Answer whole = ask("Tell me a story.", 100);
  const std::string word = whole.pieces[3];
  AnswerRequest request;
  request.prompt = "Tell me a story.";
  request.max_tokens = 100;
  request.stop = {"not in there", word.substr(0, 3)};
  const Answer given = answer(AnswerMode::kLetters, request);
  EXPECT_EQ(given.text(), whole.text().substr(0, whole.text().find(request.stop[1])));
  EXPECT_EQ(given.finish_reason, FinishReason::kStop);
  EXPECT_EQ(given.stopped_by, request.stop[1]);
  EXPECT_EQ(given.tokens.size(), given.pieces.size());
  EXPECT_LE(given.tokens.size(), 4u);
}

TEST(Answers, TokensAndTextAgree) {
  for (const std::string_view prompt : {kQuestion, std::string_view("Tell me a story.")}) {
    const Answer given = ask(prompt, 60);
    EXPECT_EQ(detokenize(given.tokens), given.text());
    EXPECT_EQ(tokenize(given.text()), given.tokens);
  }
}

TEST(Answers, Sha256ShowsWhichPromptIsAnswered) {
  AnswerRequest request;
  request.prompt = "abc";
  EXPECT_EQ(answer(AnswerMode::kSha256, request).text(), "ba7816bf8f01cfea");
}

TEST(OptionLabels, AreFoundInTheirUsualForms) {
  EXPECT_EQ(option_labels("Which?\n(A) x\n(B) y\n(C) z"), "ABC");
  EXPECT_EQ(option_labels("Which? (A) x (B) y"), "AB");
  EXPECT_EQ(option_labels("Which?\nA) x\nB) y"), "AB");
  EXPECT_EQ(option_labels("Which?\n  A. x\n  B. y"), "AB");
  EXPECT_EQ(option_labels("Which?\n1. x\n2. y\n3. z"), "123");
}

TEST(OptionLabels, OfTheLastListCount) {
  EXPECT_EQ(option_labels("Which?\nA. a\nB. b\nC. c\nAnswer: B\n\nWhich?\nA. d\nB. e\nAnswer:"),
            "AB");
}

TEST(OptionLabels, AreNotSeenInOrdinaryText) {
  EXPECT_EQ(option_labels("Vitamin A. is good. Plan B. too. Which?"), "");
  EXPECT_EQ(option_labels("Which?\nA. only one"), "");
  EXPECT_EQ(option_labels("A list\nA. x\nB. y"), "");
}

TEST(LogProbability, IsNeverPositive) {
  for (std::uint64_t hash = 0; hash < 1000; ++hash) EXPECT_LE(log_probability(hash), 0);
}

}  // namespace
}  // namespace batchproxy::sim
