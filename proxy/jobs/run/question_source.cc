// proxy/jobs/run/question_source.cc - see question_source.h.
#include "proxy/jobs/run/question_source.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "configs/text/printable.h"

namespace batchproxy {

namespace {

constexpr int kMostComplaints = 5;
constexpr int kLinesAtOnce = 4096;

[[noreturn]] void fail(const std::string& name, const char* what) {
  throw UnusableQuestions(fmt::format("{} cannot be {}: {}", name, what, std::strerror(errno)));
}

// A file in `folder` that goes when it is closed.
int nameless_file(const std::string& folder) {
  std::string name = folder + "/questions.XXXXXX";
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) fail(folder, "written");
  ::unlink(name.c_str());
  return fd;
}

void copy(int from, int to, const std::string& name) {
  std::vector<char> piece(std::size_t{256} << 10);
  for (;;) {
    const ssize_t got = ::read(from, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(name, "read");
    if (got == 0) return;
    for (ssize_t done = 0; done < got;) {
      const ssize_t wrote = ::write(to, piece.data() + done, static_cast<std::size_t>(got - done));
      if (wrote < 0 && errno == EINTR) continue;
      if (wrote < 0) fail(name, "kept for a second look");
      done += wrote;
    }
  }
}

}  // namespace

std::string hash_of(const Question& question) {
  return hash_of_body(question.path + "\n" + question.body);
}

QuestionSource::QuestionSource(const std::string& path, QuestionDefaults defaults,
                               const std::string& folder)
    : name_(path == "-" ? "standard input" : printable(path)), defaults_(std::move(defaults)) {
  fd_ = path == "-" ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                    : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd_ < 0) fail(name_, "read");
  struct stat about{};
  if (::fstat(fd_, &about) == 0 && S_ISREG(about.st_mode) && path != "-") return;
  const int whole = nameless_file(folder);
  try {
    copy(fd_, whole, name_);
  } catch (...) {
    ::close(whole);
    ::close(fd_);
    throw;
  }
  ::close(std::exchange(fd_, whole));
}

QuestionSource::~QuestionSource() {
  ::close(fd_);
}

void QuestionSource::rewind() {
  if (::lseek(fd_, 0, SEEK_SET) != 0) fail(name_, "read");
  lines_ = std::make_unique<LineReader>(fd_, name_);
  parser_ = std::make_unique<QuestionParser>(name_, defaults_);
}

QuestionParser::Parsed QuestionSource::next(bool& end) {
  switch (lines_->next(line_)) {
    case LineReader::Got::kLine:
      return parser_->parse(line_, lines_->number());
    case LineReader::Got::kTooLong:
      return parser_->too_long(lines_->number());
    case LineReader::Got::kEnd:
      break;
  }
  end = true;
  if (auto bad = parser_->finish()) return *std::move(bad);
  return NoQuestion{};
}

QuestionSource::Found QuestionSource::note_all(Ledger::Reading& reading) {
  rewind();
  Found found;
  std::string complaints;
  int bad_lines = 0;
  const auto complain = [&](const std::string& sentence) {
    if (++bad_lines <= kMostComplaints) complaints += (complaints.empty() ? "" : "\n") + sentence;
  };
  for (bool end = false; !end;) {
    auto parsed = next(end);
    if (const auto* bad = std::get_if<BadLine>(&parsed)) complain(bad->sentence);
    auto* question = std::get_if<Question>(&parsed);
    if (question == nullptr) continue;
    const std::int64_t number = lines_->number();
    if (const auto first = reading.note(question->key, hash_of(*question), number)) {
      complain(fmt::format("{}:{}: the id '{}' is that of line {}, too: each needs one of its own",
                           name_, number, printable(question->key), *first));
    }
    found.lacks_model = found.lacks_model || question->lacks_model;
    if (++found.questions == 1) found.first = std::move(*question);
  }
  if (bad_lines > kMostComplaints) {
    complaints += fmt::format("\n… and {} more", bad_lines - kMostComplaints);
  }
  if (bad_lines > 0) {
    throw UnusableQuestions(complaints + "\nNothing was asked: mend or remove " +
                            (bad_lines == 1 ? "this line" : "these lines") + ", and run again");
  }
  if (found.questions == 0) throw UnusableQuestions(name_ + " holds no question");
  found.format = *parser_->format();
  rewind();
  return found;
}

bool QuestionSource::read(const std::function<bool(Question&&)>& take) {
  bool end = false;
  bool more = true;
  for (int lines = 0; lines < kLinesAtOnce && more && !end; ++lines) {
    auto parsed = next(end);
    if (auto* question = std::get_if<Question>(&parsed)) more = take(std::move(*question));
  }
  return !end;
}

}  // namespace batchproxy
