// backends/child/child_proxy.cc - see child_proxy.h.
#include "backends/child/child_proxy.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace batchproxy {

namespace {

constexpr std::streamoff kMostOfLog = 1 << 16;
constexpr int kLastLines = 12;

std::string last_lines(std::string_view text) {
  std::size_t begin = text.size();
  for (int line = 0; line <= kLastLines && begin > 0 && begin != std::string_view::npos; ++line) {
    begin = text.rfind('\n', begin - 1);
  }
  return std::string(begin == std::string_view::npos || begin == 0 ? text : text.substr(begin + 1));
}

// In the child: only what is safe behind a fork.
[[noreturn]] void become(char* const* argv, int log, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);  // it died before it could be told
  ::dup2(log, STDOUT_FILENO);
  ::dup2(log, STDERR_FILENO);
  const int none = ::open("/dev/null", O_RDONLY);
  if (none >= 0) ::dup2(none, STDIN_FILENO);
  ::execv(argv[0], argv);
  ::_exit(127);
}

}  // namespace

ChildProxy::ChildProxy(const std::string& program, const std::vector<std::string>& flags,
                       std::string log)
    : log_(std::move(log)) {
  const int fd = ::open(log_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) throw std::runtime_error(log_ + " cannot be written: " + std::strerror(errno));
  begin_ = ::lseek(fd, 0, SEEK_END);
  std::vector<std::string> words{program};
  words.insert(words.end(), flags.begin(), flags.end());
  for (const char* flag :
       {"--listen=127.0.0.1:0", "--admin=127.0.0.1:0", "--tls-certificate", "", "--tls-key", ""})
    words.emplace_back(flag);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) become(argv.data(), fd, parent);
  ::close(fd);
  if (pid_ < 0) {
    throw std::runtime_error(std::string("cannot start a proxy: ") + std::strerror(errno));
  }
}

ChildProxy::~ChildProxy() {
  if (ended()) return;
  ::kill(pid_, SIGTERM);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

std::string ChildProxy::text(Part part) const {
  std::ifstream in(log_, std::ios::binary);
  in.seekg(0, std::ios::end);
  const std::streamoff end = in.tellg();
  in.seekg(part == Part::kFirst ? begin_ : std::max<std::streamoff>(begin_, end - kMostOfLog));
  std::string text(static_cast<std::size_t>(kMostOfLog), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

std::optional<std::string> ChildProxy::told(std::string_view word) const {
  constexpr std::string_view kScheme = "http://";
  const std::string said = text(Part::kFirst);
  const std::size_t line = said.find(word);
  const std::size_t begin = line == std::string::npos ? line : said.find(kScheme, line);
  if (begin == std::string::npos) return std::nullopt;
  const std::size_t end = said.find_first_of("/ \r\n", begin + kScheme.size());
  if (end == std::string::npos) return std::nullopt;
  return said.substr(begin, end - begin);
}

std::optional<std::string> ChildProxy::ended() {
  int status = 0;
  if (!status_ && ::waitpid(pid_, &status, WNOHANG) == pid_) status_ = status;
  if (!status_) return std::nullopt;
  const std::string how = WIFEXITED(*status_)
                              ? fmt::format("with exit code {}", WEXITSTATUS(*status_))
                              : fmt::format("by signal {}", WTERMSIG(*status_));
  return fmt::format("the proxy has ended {}; {} says:\n{}", how, log_,
                     last_lines(text(Part::kLast)));
}

}  // namespace batchproxy
