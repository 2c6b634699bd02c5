// tests/jobs/ledger_speed_test.cc - how many items a second the ledger takes, and how much disk.
//
//   jobs_tests --gtest_also_run_disabled_tests --gtest_filter='*DISABLED_LedgerSpeed*'
#include <chrono>
#include <filesystem>
#include <iostream>
#include <random>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "proxy/jobs/ledger.h"

namespace batchproxy {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kItems = 100'000;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// An answer of vLLM's with so many letters of text, which resemble words.
std::string answer(int number, std::size_t letters, std::mt19937& random) {
  static constexpr const char* kWords[] = {"the", "of", "passage", "answer", "because", "river",
                                           "and", "to", "option",  "author", "neither", "which"};
  std::string text;
  while (text.size() < letters) {
    text += fmt::format("{}{} ", kWords[random() % std::size(kWords)], random() % 100);
  }
  text.resize(letters);
  return fmt::format(
      R"({{"id":"cmpl-{:08x}{:08x}","object":"text_completion","created":{},"model":"meta-llama/Llama-2-7b-chat-hf",)"
      R"("choices":[{{"index":0,"text":"{}","logprobs":null,"finish_reason":"length","stop_reason":null,)"
      R"("prompt_logprobs":null}}],"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":1}}}})",
      random(), random(), 1795979508 + number / 100, text, 300 + number % 90, 301 + number % 90);
}

void measure(std::size_t group, std::size_t letters, int items) {
  std::string name = (fs::temp_directory_path() / "ledger_speed.XXXXXX").string();
  const fs::path folder = ::mkdtemp(name.data());
  std::mt19937 random(1);
  {
    Ledger ledger((folder / "ledger").string());
    auto start = Clock::now();
    Ledger::Reading reading(ledger);
    for (int i = 0; i < items; ++i) {
      reading.note(fmt::format("question-{}", i), hash_of_body(std::to_string(i)), i + 1);
    }
    reading.commit();
    const double read = seconds_since(start);
    double recorded = 0;
    std::vector<ItemOutcome> outcomes;
    for (int i = 0; i < items; ++i) {
      ItemOutcome outcome;
      outcome.key = fmt::format("question-{}", i);
      outcome.status = 200;
      outcome.answer = answer(i, letters, random);
      outcome.backend = "10.0.0.7:8000";
      outcome.batch = "1234/16";
      outcome.asked_ms = outcome.answered_ms = 1'795'979'508'000 + i;
      outcomes.push_back(std::move(outcome));
      if (outcomes.size() < group && i + 1 < items) continue;
      start = Clock::now();
      ledger.record(outcomes);
      recorded += seconds_since(start);
      outcomes.clear();
    }
    std::cout << fmt::format("groups of {:>3}, {:>4} letters: {:.0f} noted/s, {:.0f} recorded/s",
                             group, letters, items / read, items / recorded);
  }
  std::cout << fmt::format(
      ", {:.1f} MB for 100,000\n",
      static_cast<double>(fs::file_size(folder / "ledger")) / 1e6 * (100'000.0 / items));
  fs::remove_all(folder);
}

TEST(DISABLED_LedgerSpeed, IsPrinted) {
  measure(512, 2, kItems);
  measure(512, 1000, kItems);
  measure(1, 2, 2'000);
}

}  // namespace
}  // namespace batchproxy
