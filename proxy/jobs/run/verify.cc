// proxy/jobs/run/verify.cc - see verify.h.
#include "proxy/jobs/run/verify.h"

#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include "configs/text/printable.h"
#include "proxy/jobs/asker.h"
#include "proxy/jobs/run/job_run.h"
#include "proxy/jobs/run/manage.h"
#include "proxy/jobs/run/question_source.h"

namespace batchproxy {

namespace {

namespace dom = simdjson::dom;

constexpr int kMostExamples = 10;
constexpr std::size_t kMostShown = 60;

std::string shown(const std::string& text) {
  return printable(text.size() <= kMostShown ? text : text.substr(0, kMostShown) + "…");
}

// The file of a ledger without one of its own was standard input.
std::string questions_of(const VerifyOptions& options, Ledger& ledger) {
  std::string path = options.questions;
  if (path.empty()) path = ledger.remembered(kQuestionsWord);
  if (path.empty()) {
    throw std::runtime_error("the questions came from standard input: name a file of them");
  }
  return path;
}

class Verification {
 public:
  explicit Verification(const VerifyOptions& options)
      : options_(options),
        ledger_(ledger_of(options.answers), Database::Access::kLook),
        source_(questions_of(options, ledger_), options.defaults, "."),
        model_(ledger_.remembered(kModelWord)),
        proxy_(io_, options.proxy, options.answers + ".verify.log") {
    source_.rewind();
  }

  VerifyResult run() {
    std::exception_ptr failure;
    asio::co_spawn(io_.get_executor(), ask(), [&](std::exception_ptr error) {
      failure = error;
      io_.stop();
    });
    io_.run();
    if (failure) std::rethrow_exception(failure);
    return std::move(result_);
  }

 private:
  Task<void> ask() {
    AskerSettings settings;
    settings.url = co_await proxy_.find();
    settings.fields = bearer(options_.proxy.api_key);
    settings.limits = options_.limits;
    asker_.emplace(
        io_, std::move(settings),
        [this](std::vector<Question>& into, std::size_t at_most) { return read(into, at_most); },
        [this](const std::vector<ItemOutcome>& outcomes) {
          for (const ItemOutcome& outcome : outcomes) compare(outcome);
        });
    co_await asker_->run();
    if (asker_->ending() == Asker::Ending::kGaveUp) {
      throw std::runtime_error("the proxy does not answer: " + asker_->trouble());
    }
  }

  bool read(std::vector<Question>& into, std::size_t at_most) {
    return source_.read([&](Question&& question) {
      if (!is_in_sample(question.key, options_.sample, options_.seed)) return true;
      auto item = ledger_.find(question.key, hash_of(question));
      if (!item) {
        ++result_.unknown;
        return true;
      }
      if (item->outcome.state != ItemState::kAnswered) return true;
      if (question.lacks_model) question.body = with_model(question, model_);
      before_[question.key] = said_in(item->outcome.answer);
      into.push_back(std::move(question));
      return into.size() < at_most;
    });
  }

  void compare(const ItemOutcome& outcome) {
    const auto before = before_.extract(outcome.key);
    ++result_.asked;
    if (outcome.state != ItemState::kAnswered) {
      ++result_.unanswered;
      return;
    }
    const std::string now = said_in(outcome.answer);
    if (now == before.mapped()) {
      ++result_.same;
    } else if (++result_.other <= kMostExamples) {
      result_.examples += fmt::format("{}: '{}' is now '{}'\n", printable(outcome.key),
                                      shown(before.mapped()), shown(now));
    }
  }

  const VerifyOptions& options_;
  asio::io_context io_{1};
  Ledger ledger_;
  QuestionSource source_;
  const std::string model_;
  JobProxy proxy_;
  std::optional<Asker> asker_;
  std::unordered_map<std::string, std::string> before_;  // of those that are asked
  VerifyResult result_;
};

// What a decision chooses: its probabilities are not the same to the last digit.
std::string decided_in(const dom::array& answers) {
  std::string said;
  for (const dom::element one : answers) {
    dom::element choice;
    if (!said.empty()) said += '\n';
    said += simdjson::minify(one["choice"].get(choice) ? one : choice);
  }
  return said;
}

}  // namespace

std::string said_in(const std::string& body) {
  thread_local dom::parser parser;
  dom::object answer;
  if (parser.parse(body).get(answer)) return body;
  dom::array decided;
  if (!answer["answers"].get(decided)) return decided_in(decided);
  dom::array choices;
  if (answer["choices"].get(choices)) {
    dom::element data;
    return answer["data"].get(data) ? body : std::string(simdjson::minify(data));
  }
  std::string said;
  for (const dom::element choice : choices) {
    dom::element part;
    if (!said.empty()) said += '\n';
    std::string_view text;
    if (!choice["text"].get(text) || !choice["message"]["content"].get(text)) {
      said += text;
    } else if (!choice["message"].get(part)) {
      said += simdjson::minify(part);
    }
  }
  return said;
}

int exit_code_of(const VerifyResult& result) {
  if (result.other > 0) return kExitSomeFailed;
  return result.same > 0 && result.unanswered == 0 ? 0 : kExitGaveUp;
}

bool is_in_sample(const std::string& key, double share, std::uint64_t seed) {
  const std::string hash = hash_of_body(fmt::format("{} {}", seed, key));
  std::uint64_t number = 0;
  std::memcpy(&number, hash.data(), sizeof number);
  return static_cast<double>(number >> 11) * 0x1p-53 < share;
}

VerifyResult verify_job(const VerifyOptions& options) {
  check_job(options.answers);
  try {
    return Verification(options).run();
  } catch (const UnusableQuestions& error) {
    throw std::runtime_error(error.what());
  }
}

}  // namespace batchproxy
